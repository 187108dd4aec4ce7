"""`recon language CONFIG`: which captioner's words predict the neurons of held-out clips, neuron by neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon import config
from recon.benchmark import Say
from recon.data.opening import open_recording
from recon.data.oracle import correlation_ceiling, joined_repeats
from recon.data.sensorium import SensoriumRecording
from recon.forward import make_recording
from recon.language.features import binned, delayed, embeddings, spoken
from recon.language.graded import graded_captions
from recon.language.ridge import PENALTIES, fit_readout
from recon.language.significance import clip_products, false_discovery, permutation_test
from recon.language.tables import Said, read_captions
from recon.settings import Named
from recon.statistics import bootstrap_interval, holm, paired_difference, sign_flip_test
from recon.store import write_table

LEVEL = 0.05
NEURONS = ("unit", "area", "captioner", "r", "ceiling", "normalised", "p", "q", "best", "margin", "margin_p")
CAPTIONERS = ("captioner", "clips", "r", "r_low", "r_high", "normalised", "told", "wins", "wins_low", "wins_high")
DIFFERENCES = ("first", "second", "difference", "low", "high", "p", "p_holm")
GRADED = "graded"


@dataclass(frozen=True)
class LanguageStudy:
    """A configuration: captions of a recording, by captioner, from which the responses of every neuron are predicted.

    `captions` is a table (`recon.language.tables`) or "graded", what five captioners of known quality say of a
    simulated recording. Texts are embedded by the encoder `text`; responses and embeddings are averaged over `bin`
    frames, and a response may depend on what was said in that bin and in the `delays` − 1 before. Ridge is fitted to
    trials of the tier `learnt`, its `penalties` are chosen by `folds` of different content, and asked about the clips
    of the tiers `asked`, each the mean of its repeats.
    """

    run: Path
    recording: Path
    captions: str
    simulate: Named | None = None
    text: str = "minilm"
    bin: int = 8
    delays: int = 4
    learnt: str = "train"
    asked: tuple[str, ...] = ("oracle", "live_test_main")
    penalties: tuple[float, ...] = PENALTIES
    folds: int = 5
    permutations: int = 1000
    seed: int = 0
    artefacts: Path = Path("runs/artefacts")

    def __post_init__(self) -> None:
        if min(self.bin, self.delays, self.permutations) < 1:
            raise ValueError(
                f"language: expected bin, delays and permutations of at least 1, got {self.bin}, {self.delays} and "
                f"{self.permutations}; correct them"
            )


@dataclass(frozen=True)
class Clips:
    """Held-out clips: a trial that shows each, and responses of the repeats `[R,N,B]` in bins."""

    trials: tuple[int, ...]
    responses: tuple[Tensor, ...]

    @property
    def means(self) -> list[Tensor]:
        """Mean responses `[B,N]` of every clip."""
        return [repeats.mean(0).T for repeats in self.responses]


@dataclass(frozen=True)
class Predicted:
    """How a captioner's words predict: r, p and q `[N]`, and each clip's share `[K,N]` of r."""

    r: Tensor
    p: Tensor
    q: Tensor
    shares: Tensor


def study_language(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Run the study of a configuration; return captioners.csv, beside which neurons.csv and differences.csv lie."""
    chosen = config.record(LanguageStudy, tree, where="language")
    if chosen.simulate is not None:
        make_recording(chosen.recording, chosen.simulate, progress=progress)
    recording = open_recording(chosen.recording)
    graded = chosen.captions == GRADED
    captions = graded_captions(recording) if graded else read_captions(Path(chosen.captions), recording)
    learnt, clips = recording.trials(chosen.learnt), held_out(recording, chosen)
    responses = torch.cat([_responses(recording, trial, chosen.bin) for trial in learnt])
    found: dict[str, Predicted] = {}
    for captioner, said in captions.items():
        found[captioner] = _predicted(recording, said, responses, clips, chosen)
        say(f"{captioner}: mean r {float(found[captioner].r.nanmean()):.3f}")
    return write_study(chosen, recording, clips, found)


def held_out(recording: SensoriumRecording, chosen: LanguageStudy) -> Clips:
    """Return the clips that are asked about, all cut to the bins of the shortest."""
    shown: dict[str, list[int]] = {}
    for trial in (trial for tier in chosen.asked for trial in recording.trials(tier)):
        if recording.has_responses(trial):
            shown.setdefault(recording.video_ids[trial], []).append(trial)
    taught = {recording.video_ids[trial] for trial in recording.trials(chosen.learnt)}
    if len(shown) < 3 or taught & set(shown):
        raise ValueError(
            f"asked: expected at least 3 clips with responses that are not learnt from, got {len(shown)}, of them "
            f"{len(taught & set(shown))} learnt; take other tiers, or split the recording by content"
        )
    repeats = [[_responses(recording, trial, chosen.bin) for trial in trials] for trials in shown.values()]
    bins = min(len(one) for clip in repeats for one in clip)
    stacked = (torch.stack([one[:bins].T for one in clip]) for clip in repeats)
    return Clips(tuple(trials[0] for trials in shown.values()), tuple(stacked))


def _responses(recording: SensoriumRecording, trial: int, size: int) -> Tensor:
    """Return a trial's responses `[B,N]` in bins."""
    return binned(recording.trial(trial).responses.T, size)


def _predicted(
    recording: SensoriumRecording, said: Sequence[Said], responses: Tensor, clips: Clips, chosen: LanguageStudy
) -> Predicted:
    known = embeddings([one.text for one in said], chosen.text, chosen.artefacts)
    by_trial: dict[int, list[Said]] = {}
    for one in said:
        by_trial.setdefault(one.trial, []).append(one)

    def features(trial: int) -> Tensor:
        over_time = spoken(by_trial.get(trial, ()), known, frames=recording.length(trial))
        return delayed(binned(over_time, chosen.bin), chosen.delays)

    learnt = recording.trials(chosen.learnt)
    parts = [features(trial) for trial in learnt]
    contents = {content: number for number, content in enumerate(dict.fromkeys(recording.video_ids))}
    groups = [contents[recording.video_ids[t]] for t, part in zip(learnt, parts, strict=True) for _ in part]
    readout = fit_readout(torch.cat(parts), responses, groups, penalties=chosen.penalties, folds=chosen.folds)
    means = clips.means
    predictions = [readout(features(trial))[: len(means[0])] for trial in clips.trials]
    products = clip_products(predictions, means)
    generator = np.random.default_rng(chosen.seed)
    r, p = permutation_test(products, permutations=chosen.permutations, generator=generator)
    places = torch.arange(len(products))
    return Predicted(r, p, torch.from_numpy(false_discovery(p.numpy())), products[places, places])


def write_study(
    chosen: LanguageStudy, recording: SensoriumRecording, clips: Clips, found: Mapping[str, Predicted]
) -> Path:
    """Write the three tables of a study, and return that of the captioners."""
    chosen.run.mkdir(parents=True, exist_ok=True)
    repeated = [repeats for repeats in clips.responses if len(repeats) > 1]
    silent = torch.full((len(recording.unit_ids),), torch.nan, dtype=torch.float64)
    ceiling = correlation_ceiling(joined_repeats(repeated)) if repeated else silent
    best = torch.stack([one.r.nan_to_num(-1) for one in found.values()]).topk(min(2, len(found)), 0).indices
    write_table(chosen.run / "neurons.csv", list(_neuron_rows(chosen, recording, found, ceiling, best)), NEURONS)
    write_table(chosen.run / "differences.csv", _difference_rows(chosen, found), DIFFERENCES)
    path = chosen.run / "captioners.csv"
    write_table(path, list(_captioner_rows(chosen, found, ceiling, best[0])), CAPTIONERS)
    return path


def _neuron_rows(
    chosen: LanguageStudy, recording: SensoriumRecording, found: Mapping[str, Predicted], ceiling: Tensor, best: Tensor
) -> Iterator[dict[str, Any]]:
    names, areas = list(found), recording.areas or ("",) * len(recording.unit_ids)
    generator = np.random.default_rng(chosen.seed)
    for neuron, unit in enumerate(recording.unit_ids):
        first, second = (found[names[place]].shares[:, neuron] for place in (best[0, neuron], best[-1, neuron]))
        margin = first - second
        p = sign_flip_test(margin.numpy(), generator=generator, flips=2000) if len(names) > 1 else float("nan")
        for name, one in found.items():
            r, most = float(one.r[neuron]), float(ceiling[neuron])
            yield {
                "unit": unit,
                "area": areas[neuron],
                "captioner": name,
                "r": r,
                "ceiling": most,
                "normalised": r / most if most > 0 else float("nan"),
                "p": float(one.p[neuron]),
                "q": float(one.q[neuron]),
                "best": names[int(best[0, neuron])],
                "margin": float(margin.mean()),
                "margin_p": p,
            }


def _captioner_rows(
    chosen: LanguageStudy, found: Mapping[str, Predicted], ceiling: Tensor, best: Tensor
) -> Iterator[dict[str, Any]]:
    told = torch.stack([one.q < LEVEL for one in found.values()]).any(0)
    for place, (name, one) in enumerate(found.items()):
        generator = np.random.default_rng(chosen.seed)
        clips = one.shares.nanmean(1).numpy()
        low, high = bootstrap_interval(clips, generator=generator)
        wins = (best[told] == place).double().numpy()
        wins_low, wins_high = bootstrap_interval(wins, generator=generator)
        yield {
            "captioner": name,
            "r": float(one.r.nanmean()),
            "r_low": low,
            "r_high": high,
            "normalised": float((one.r / ceiling).nanmean()),
            "told": float((one.q < LEVEL).double().mean()),
            "wins": float(wins.mean()) if len(wins) else float("nan"),
            "wins_low": wins_low,
            "wins_high": wins_high,
            "clips": len(clips),
        }


def _difference_rows(chosen: LanguageStudy, found: Mapping[str, Predicted]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for first, second in combinations(found, 2):
        pair = [found[name].shares.nanmean(1).numpy() for name in (first, second)]
        seen = paired_difference(*pair, generator=np.random.default_rng(chosen.seed))
        about = {"first": first, "second": second, "difference": seen.difference}
        rows.append({**about, "low": seen.low, "high": seen.high, "p": seen.p_value})
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows
