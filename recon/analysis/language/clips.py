"""The clips that a study asks about, and responses in bins."""

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
    """Held-out clips: a trial that shows each, and responses of the repeats `[R,N,B]` in bins."""

    trials: tuple[int, ...]
    responses: tuple[Tensor, ...]

    @property
    def means(self) -> list[Tensor]:
        """Mean responses `[B,N]` of every clip."""
        return [repeats.mean(0).T for repeats in self.responses]

    @property
    def bins(self) -> int:
        """Bins of every clip."""
        return self.responses[0].shape[-1]


def held_out(recording: SensoriumRecording, *, learnt: str, asked: Sequence[str], size: int) -> HeldOutClips:
    """Return the clips of the tiers `asked`, all cut to the bins of the shortest.

    Raises InputError for fewer than three, and where one of them is also in the tier `learnt`.
    """
    shown: dict[str, list[int]] = {}
    for trial in (trial for tier in asked for trial in recording.trials(tier)):
        if recording.has_responses(trial):
            shown.setdefault(recording.video_ids[trial], []).append(trial)
    taught = {recording.video_ids[trial] for trial in recording.trials(learnt)}
    if len(shown) < 3 or taught & set(shown):
        raise InputError(
            f"asked: expected at least 3 clips with responses that are not learnt from, got {len(shown)}, of them "
            f"{len(taught & set(shown))} learnt; take other tiers, or split the recording by content"
        )
    repeats = [[responses_in_bins(recording, trial, size) for trial in trials] for trials in shown.values()]
    bins = min(len(one) for clip in repeats for one in clip)
    stacked = (torch.stack([one[:bins].T for one in clip]) for clip in repeats)
    return HeldOutClips(tuple(trials[0] for trials in shown.values()), tuple(stacked))


def responses_in_bins(recording: SensoriumRecording, trial: int, size: int) -> Tensor:
    """Return a trial's responses `[B,N]` in bins of `size` frames."""
    return binned(recording.trial(trial).responses.T, size)
