"""The tables of a study of captions: captioners, neurons, differences between captioners, partitions, words."""

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
"""What counts as told: neurons, words and differences with at most this rate of false ones."""
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
"""Candidates among which a caption is looked for; 0: all."""


@dataclass(frozen=True)
class StudyNeurons:
    """The neurons of a study: their units, areas ("" where unknown) and response ceilings `[N]`."""

    units: tuple[int, ...]
    areas: tuple[str, ...]
    ceiling: Tensor

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and masks `[N]`: all neurons, and those of each area where there are several."""
        yield ALL, torch.ones(len(self.units), dtype=torch.bool)
        names = sorted(set(self.areas))
        for name in names if len(names) > 1 else ():
            yield name or "unknown", torch.tensor([area == name for area in self.areas])


def ranked(found: Mapping[str, Predicted]) -> Tensor:
    """Return the places `[2,N]` of each neuron's best and second best captioner."""
    return torch.stack([one.r.nan_to_num(-1) for one in found.values()]).topk(min(2, len(found)), 0).indices


def neuron_rows(found: Mapping[str, Predicted], population: StudyNeurons, *, seed: int) -> list[Row]:
    """Return a row for each neuron and captioner; `margin` is how far each neuron's best is before its second best."""
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
    """Yield a row for each predictor and part of the population; the `competing` ones can be best for a neuron.

    Intervals of r are over clips, those of wins over neurons that any competitor tells.
    """
    best = ranked({name: found[name] for name in competing})[0]
    told = torch.stack([found[name].q < LEVEL for name in competing]).any(0)
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
            yield row | (_wins(best[told & mask] == competing.index(name), generator) if name in competing else {})


def _wins(won: Tensor, generator: np.random.Generator) -> Row:
    wins = won.double().numpy()
    low, high = bootstrap_interval(wins, generator=generator)
    return {"wins": float(wins.mean()) if len(wins) else float("nan"), "wins_low": low, "wins_high": high}


def difference_rows(found: Mapping[str, Predicted], population: StudyNeurons, *, seed: int) -> Iterator[Row]:
    """Yield a row for each pair of captioners and part of the population: mean r over neurons, compared over clips.

    Holm's correction is for the pairs of a part.
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
    """Yield a row for each part of the population: mean r² over its neurons, with intervals over clips."""
    for part, mask in population.parts():
        row: Row = {"captioner": captioner, "area": part, "neurons": int(mask.sum())}
        means = {"text": found.text, "low_level": found.low, "both": found.both, "shared": found.shared}
        row |= {name: float(values[mask].nanmean()) for name, values in means.items()}
        yield row | unique_of(found, mask)


def unique_of(found: Partition, mask: Tensor) -> Row:
    """Return what text and what low-level features alone explain of the neurons of a mask, with 95 % intervals."""
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
    """Yield the words that tell something of a neuron, and its first ones in any case, from the most liked."""
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
    """Return a row for each point of a map, with what else is known of it."""
    return [
        {"x": float(x), "y": float(y), **{name: values[place] for name, values in about.items()}}
        for place, (x, y) in enumerate(drawn.places)
    ]


def trust(drawn: Map) -> Row:
    """Return how far a map is to be trusted."""
    known = {"kept": drawn.kept, "chance": drawn.chance, "trustworthiness": drawn.trustworthiness}
    return {**known, "points": len(drawn.places)}


def cluster_rows(clusters: Clusters, found: Preferences, told: Tensor) -> Iterator[Row]:
    """Yield the words that a cluster's neurons like more than the other ones do, in standard deviations of chance.

    Beyond `CLEAR` all are alike: chance hardly moves what a rare word adds, so that its z can be in the hundreds.
    """
    z = found.z[:, told].nan_to_num(0.0).clamp(-CLEAR, CLEAR)
    labels = torch.from_numpy(clusters.labels)
    for cluster in sorted(set(clusters.labels.tolist())):
        inside = labels == cluster
        difference = z[:, inside].mean(1) - z[:, ~inside].mean(1)
        for place, word in enumerate(difference.argsort(descending=True, stable=True)[:WORDS_SHOWN].tolist(), start=1):
            about = {"cluster": cluster, "neurons": int(inside.sum()), "word": found.words[word]}
            yield {**about, "difference": float(difference[word]), "place": place}


def reading_rows(captioner: str, read: Read) -> Iterator[Row]:
    """Yield how often the right caption is found among sets of others, over scenes of single trials."""
    clips = len({one.trial for one in read.said})
    for size in dict.fromkeys(size or len(read.said) for size in SETS):
        if 2 <= size <= len(read.said):
            about = {"captioner": captioner, "scenes": len(read.said), "clips": clips}
            yield about | scores([read.similarity], size, together=1)


def text_rows(captioner: str, read: Read, clips: Sequence[str]) -> Iterator[Row]:
    """Yield what was said of each scene, the training caption that comes nearest to what was read, and the rank."""
    ranks = rank(read.similarity, size=len(read.said))
    for one, nearest, place in zip(read.said, read.nearest, ranks.tolist(), strict=True):
        where = {"clip": clips[one.trial], "trial": one.trial, "first": one.first, "end": one.end}
        said = {"captioner": captioner, "said": one.text, "nearest": nearest}
        yield {**where, **said, "rank": place, "candidates": len(read.said)}
