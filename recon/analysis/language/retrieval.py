"""Retrieval of captions from responses: responses → decoded embedding → nearest caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recon.analysis.language.clips import HeldOutClips
from recon.analysis.language.features import principal
from recon.analysis.language.prediction import RegressionData
from recon.analysis.language.ridge import fit_readout
from recon.data.caption_tables import Said
from recon.errors import InputError
from recon.metrics.identification import cosine_similarity

COMPONENTS = 256
"""Principal components of the population used as features; bounds memory for thousands of neurons."""


@dataclass(frozen=True)
class Read:
    """Scenes of held-out clips: their captions, and cosines `[S,S]` of decoded and caption embeddings."""

    said: tuple[Said, ...]
    similarity: Tensor
    nearest: tuple[str, ...]
    """The training captions nearest to the decoded embeddings."""


def read_words(
    series: Mapping[int, Tensor],
    said: Mapping[int, Sequence[Said]],
    known: Mapping[str, Tensor],
    learning: RegressionData,
    clips: HeldOutClips,
    *,
    size: int,
    least: int = 30,
) -> Read:
    """Fit ridge from responses to text series `[B,P]`, and decode single trials of held-out clips, scene by scene.

    `known` maps every text to its embedding `[P]` in the space of the series. Scenes shorter than `least` frames are
    skipped. A bin is decoded from the responses in it and in the `delays` − 1 bins after it.
    """
    lengths = [len(series[trial]) for trial in learning.trials]
    train_trials = dict(zip(learning.trials, torch.split(learning.responses, lengths), strict=True))
    test_trials = {trial: repeats[0].T for trial, repeats in zip(clips.trials, clips.responses, strict=True)}
    population = principal(train_trials | test_trials, learning.trials, COMPONENTS, alike=True)
    features = torch.cat([_ahead(population[trial], learning.delays) for trial in learning.trials])
    targets = torch.cat([series[trial] for trial in learning.trials])
    readout = fit_readout(features, targets, learning.contents, penalties=learning.penalties, folds=learning.folds)
    scenes, decoded = list[Said](), list[Tensor]()
    for trial in clips.trials:
        over_time = readout(_ahead(population[trial], learning.delays))
        for one in said.get(trial, ()):
            bins = over_time[-(-one.first // size) : one.end // size]
            if one.end - one.first >= least and len(bins):
                scenes.append(one)
                decoded.append(bins.mean(0))
    if len(scenes) < 2:
        raise InputError(f"reading: expected at least 2 scenes of {least} frames, got {len(scenes)}; ask more clips")
    average = targets.mean(0)
    found = torch.stack(decoded) - average
    bank = sorted({one.text for trial in learning.trials for one in said.get(trial, ())})
    nearest = cosine_similarity(found, torch.stack([known[text] for text in bank]) - average).argmax(1)
    similarity = cosine_similarity(found, torch.stack([known[one.text] for one in scenes]) - average)
    return Read(tuple(scenes), similarity, tuple(bank[place] for place in nearest.tolist()))


def _ahead(series: Tensor, delays: int) -> Tensor:
    """Return series `[B,D]` concatenated with copies advanced by 1 to `delays` − 1 bins `[B,delays·D]`; zero-padded."""
    padded = functional.pad(series, (0, 0, 0, delays - 1))
    return torch.cat([padded[ahead : ahead + len(series)] for ahead in range(delays)], 1)
