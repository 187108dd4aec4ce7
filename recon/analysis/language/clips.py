"""Held-out clips of a study, and binned responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.analysis.language.features import binned
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError


@dataclass(frozen=True)
class HeldOutClips:
    """Held-out clips: one trial of each, and binned responses of its repeats `[R,N,B]`."""

    trials: tuple[int, ...]
    responses: tuple[Tensor, ...]

    @property
    def means(self) -> list[Tensor]:
        """Responses `[B,N]` of every clip, averaged over repeats."""
        return [repeats.mean(0).T for repeats in self.responses]

    @property
    def bins(self) -> int:
        """Number of bins per clip."""
        return self.responses[0].shape[-1]


def held_out(recording: SensoriumRecording, *, learnt: str, asked: Sequence[str], size: int) -> HeldOutClips:
    """Return the clips of the tiers `asked`, all cut to the number of bins of the shortest.

    Raises InputError for fewer than three clips, and if one of them is also in the tier `learnt`.
    """
    shown: dict[str, list[int]] = {}
    for trial in (trial for tier in asked for trial in recording.trials(tier)):
        if recording.has_responses(trial):
            shown.setdefault(recording.video_ids[trial], []).append(trial)
    trained = {recording.video_ids[trial] for trial in recording.trials(learnt)}
    if len(shown) < 3 or trained & set(shown):
        raise InputError(
            f"asked: expected at least 3 clips with responses that are not learnt from, got {len(shown)}, of them "
            f"{len(trained & set(shown))} learnt; take other tiers, or split the recording by content"
        )
    repeats = [[responses_in_bins(recording, trial, size) for trial in trials] for trials in shown.values()]
    bins = min(len(one) for clip in repeats for one in clip)
    stacked = (torch.stack([one[:bins].T for one in clip]) for clip in repeats)
    return HeldOutClips(tuple(trials[0] for trials in shown.values()), tuple(stacked))


def responses_in_bins(recording: SensoriumRecording, trial: int, size: int) -> Tensor:
    """Return a trial's responses `[B,N]` in bins of `size` frames."""
    return binned(recording.trial(trial).responses.T, size)
