"""Tables of a language study: captioners, neurons, differences between captioners, partitions, words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.analysis.identification.scores import SCORED, scores
from recon.analysis.language.maps import Clusters, Map
from recon.analysis.language.prediction import Predicted
from recon.analysis.language.retrieval import Read
from recon.analysis.language.significance import false_discovery
from recon.analysis.language.variance_partition import Partition
from recon.analysis.language.words import Preferences
from recon.metrics.identification import rank
from recon.metrics.statistics import bootstrap_interval, holm, paired_difference, sign_flip_test

Row = dict[str, Any]

LEVEL = 0.05
"""False discovery rate for neurons, words and differences."""
ALL = "all"
NEURONS = (
    "unit",
    "area",
    "captioner",
    "r",
    "ceiling",
    "normalised",
    "p",
    "q",
    "best",
    "margin",
    "margin_p",
    "margin_q",
)
_SCORES = ("r", "r_low", "r_high", "normalised", "told", "wins", "wins_low", "wins_high")
CAPTIONERS = ("captioner", "area", "clips", "neurons", *_SCORES)
DIFFERENCES = ("first", "second", "area", "difference", "low", "high", "p", "p_holm")
_UNIQUE = tuple(f"unique_{part}{end}" for part in ("text", "low_level") for end in ("", "_low", "_high"))
PARTITIONS = ("captioner", "area", "neurons", "text", "low_level", "both", "shared", *_UNIQUE)
WORDS = ("unit", "word", "clips", "gain", "sign", "z", "p", "q", "place")
WORDS_SHOWN = 5
CLEAR = 5.0
NEURON_MAP = ("unit", "x", "y", "cluster")
CLIP_MAP = ("trial", "clip", "x", "y", "asked")
CLUSTERS = ("cluster", "neurons", "word", "difference", "place")
READINGS = ("captioner", "scenes", "clips", *SCORED)
TEXTS = ("captioner", "clip", "trial", "first", "end", "said", "nearest", "rank", "candidates")
SETS = (2, 10, 50, 100, 0)
"""Numbers of candidates for caption retrieval; 0: all."""


@dataclass(frozen=True)
class StudyNeurons:
    """Neurons of a study: units, areas ("" where unknown) and correlation ceilings `[N]`."""

    units: tuple[int, ...]
    areas: tuple[str, ...]
    ceiling: Tensor

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and masks `[N]`: all neurons, and those of each area if there are several."""
        yield ALL, torch.ones(len(self.units), dtype=torch.bool)
        names = sorted(set(self.areas))
        for name in names if len(names) > 1 else ():
            yield name or "unknown", torch.tensor([area == name for area in self.areas])


def ranked(found: Mapping[str, Predicted]) -> Tensor:
    """Return the indices `[2,N]` of each neuron's best and second best captioner."""
    return torch.stack([one.r.nan_to_num(-1) for one in found.values()]).topk(min(2, len(found)), 0).indices


def neuron_rows(found: Mapping[str, Predicted], population: StudyNeurons, *, seed: int) -> list[Row]:
    """Return a row per neuron and captioner; `margin` is the difference in r between best and second best captioner."""
    names, best = list(found), ranked(found)
    generator = np.random.default_rng(seed)
    rows: list[Row] = []
    margins = []
    for neuron, unit in enumerate(population.units):
        first, second = (found[names[place]].shares[:, neuron] for place in (best[0, neuron], best[-1, neuron]))
        margin = first - second
        p = sign_flip_test(margin.numpy(), generator=generator, flips=2000) if len(names) > 1 else float("nan")
        margins.append(p)
        for name, one in found.items():
            r, most = float(one.r[neuron]), float(population.ceiling[neuron])
            about = {"unit": unit, "area": population.areas[neuron], "captioner": name, "r": r, "ceiling": most}
            about["normalised"] = r / most if most > 0 else float("nan")
            about |= {"p": float(one.p[neuron]), "q": float(one.q[neuron]), "best": names[int(best[0, neuron])]}
            rows.append(about | {"margin": float(margin.mean()), "margin_p": p})
    corrected = false_discovery(margins)
    for number, row in enumerate(rows):
        row["margin_q"] = float(corrected[number // len(names)])
    return rows


def captioner_rows(
    found: Mapping[str, Predicted], competing: Sequence[str], population: StudyNeurons, *, seed: int
) -> Iterator[Row]:
    """Yield a row per predictor and area; only the `competing` predictors can be a neuron's best.

    Intervals of r are over clips; those of wins are over neurons predicted above chance by any competitor.
    """
    best = ranked({name: found[name] for name in competing})[0]
    significant = torch.stack([found[name].q < LEVEL for name in competing]).any(0)
    for name, one in found.items():
        for part, mask in population.parts():
            generator = np.random.default_rng(seed)
            clips = one.shares[:, mask].nanmean(1).numpy()
            low, high = bootstrap_interval(clips, generator=generator)
            normalised = one.r[mask] / torch.where(population.ceiling > 0, population.ceiling, torch.nan)[mask]
            row = {"captioner": name, "area": part, "clips": len(clips), "neurons": int(mask.sum())}
            row |= {"r": float(one.r[mask].nanmean()), "r_low": low, "r_high": high}
            row |= {"normalised": float(normalised.nanmean())}
            row |= {"told": float((one.q[mask] < LEVEL).double().mean())}
            yield row | (
                _wins(best[significant & mask] == competing.index(name), generator) if name in competing else {}
            )


def _wins(won: Tensor, generator: np.random.Generator) -> Row:
    wins = won.double().numpy()
    low, high = bootstrap_interval(wins, generator=generator)
    return {"wins": float(wins.mean()) if len(wins) else float("nan"), "wins_low": low, "wins_high": high}


def difference_rows(found: Mapping[str, Predicted], population: StudyNeurons, *, seed: int) -> Iterator[Row]:
    """Yield a row per pair of captioners and area: difference in mean r over neurons, tested over clips.

    Holm's correction is over the pairs of an area.
    """
    for part, mask in population.parts():
        rows: list[Row] = []
        for first, second in combinations(found, 2):
            pair = [found[name].shares[:, mask].nanmean(1).numpy() for name in (first, second)]
            seen = paired_difference(*pair, generator=np.random.default_rng(seed))
            about = {"first": first, "second": second, "area": part, "difference": seen.difference}
            rows.append({**about, "low": seen.low, "high": seen.high, "p": seen.p_value})
        for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
            yield row | {"p_holm": corrected}


def partition_rows(captioner: str, found: Partition, population: StudyNeurons) -> Iterator[Row]:
    """Yield a row per area: mean r² over its neurons, with intervals over clips."""
    for part, mask in population.parts():
        row: Row = {"captioner": captioner, "area": part, "neurons": int(mask.sum())}
        means = {"text": found.text, "low_level": found.low, "both": found.both, "shared": found.shared}
        row |= {name: float(values[mask].nanmean()) for name, values in means.items()}
        yield row | unique_of(found, mask)


def unique_of(found: Partition, mask: Tensor) -> Row:
    """Return the unique variance explained by text and by low-level features, averaged over a mask; 95 % intervals."""
    row: Row = {}
    for name, values, drawn in (
        ("unique_text", found.unique_text, found.unique_text_drawn),
        ("unique_low_level", found.unique_low, found.unique_low_drawn),
    ):
        deviation = drawn[:, mask].nanmean(1).numpy()
        low, high = np.nanpercentile(deviation, [2.5, 97.5])
        row |= {name: float(values[mask].nanmean()), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def word_rows(found: Preferences, units: Sequence[int]) -> Iterator[Row]:
    """Yield each neuron's significant words and its top `WORDS_SHOWN` in any case, by decreasing preference."""
    q = false_discovery(found.p.flatten().numpy()).reshape(found.p.shape)
    for neuron, unit in enumerate(units):
        order = torch.argsort(found.liking[:, neuron].nan_to_num(-1.0), descending=True, stable=True).tolist()
        for place, word in enumerate(order, start=1):
            if place > WORDS_SHOWN and not q[word, neuron] < LEVEL:
                continue
            yield {
                "unit": unit,
                "word": found.words[word],
                "clips": found.clips[word],
                "gain": float(found.gain[word, neuron]),
                "sign": int(found.sign[word, neuron]),
                "z": float(found.z[word, neuron]),
                "p": float(found.p[word, neuron]),
                "q": float(q[word, neuron]),
                "place": place,
            }


def map_rows(drawn: Map, **about: Sequence[Any]) -> list[Row]:
    """Return a row per point of a map, with further columns `about` the points."""
    return [
        {"x": float(x), "y": float(y), **{name: values[place] for name, values in about.items()}}
        for place, (x, y) in enumerate(drawn.places)
    ]


def trust(drawn: Map) -> Row:
    """Return the reliability measures of a map."""
    known = {"kept": drawn.kept, "chance": drawn.chance, "trustworthiness": drawn.trustworthiness}
    return {**known, "points": len(drawn.places)}


def cluster_rows(clusters: Clusters, found: Preferences, significant: Tensor) -> Iterator[Row]:
    """Yield the words preferred by a cluster's neurons over the other neurons, in standard deviations of the null.

    z is clipped at ±`CLEAR`: the null of a rare word is so narrow that its z can reach hundreds.
    """
    z = found.z[:, significant].nan_to_num(0.0).clamp(-CLEAR, CLEAR)
    labels = torch.from_numpy(clusters.labels)
    for cluster in sorted(set(clusters.labels.tolist())):
        inside = labels == cluster
        difference = z[:, inside].mean(1) - z[:, ~inside].mean(1)
        for place, word in enumerate(difference.argsort(descending=True, stable=True)[:WORDS_SHOWN].tolist(), start=1):
            about = {"cluster": cluster, "neurons": int(inside.sum()), "word": found.words[word]}
            yield {**about, "difference": float(difference[word]), "place": place}


def reading_rows(captioner: str, read: Read) -> Iterator[Row]:
    """Yield the accuracy of caption retrieval by number of candidates, over scenes of single trials."""
    clips = len({one.trial for one in read.said})
    for size in dict.fromkeys(size or len(read.said) for size in SETS):
        if 2 <= size <= len(read.said):
            about = {"captioner": captioner, "scenes": len(read.said), "clips": clips}
            yield about | scores([read.similarity], size, together=1)


def text_rows(captioner: str, read: Read, clips: Sequence[str]) -> Iterator[Row]:
    """Yield for each scene its caption, the training caption nearest to the decoded embedding, and the rank."""
    ranks = rank(read.similarity, size=len(read.said))
    for one, nearest, place in zip(read.said, read.nearest, ranks.tolist(), strict=True):
        where = {"clip": clips[one.trial], "trial": one.trial, "first": one.first, "end": one.end}
        said = {"captioner": captioner, "said": one.text, "nearest": nearest}
        yield {**where, **said, "rank": place, "candidates": len(read.said)}
