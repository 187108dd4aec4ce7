"""Clips with weak or empty activity: trials whose responses are simulated anew, thinned, shifted or permuted."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.problem.activity import Activity
from recon.problem.clips import Batch, Clip
from recon.simulate.again import GREY_LEVEL, settings_of, show_again
from recon.simulate.fluctuations import Fluctuations, measured
from recon.types import Trial


def check_activity(recording: SensoriumRecording, activity: Activity) -> None:
    """Raise InputError, before anything is computed, if a recording cannot have this activity."""
    if _is_shown_again(recording, activity):
        settings_of(recording.made_by, recording.path)
    if activity.spontaneous and not _repeated(recording):
        raise InputError(
            f"activity: expected validation clips shown at least twice in {recording.path}, from whose repeats "
            "spontaneous fluctuations are measured, got none; simulate with repeats, or take contrast 0"
        )


def changed_batch(batch: Batch, activity: Activity) -> Batch:
    """Return a batch whose trials have an activity that is not the recorded one, and no repeats."""
    check_activity(batch.recording, activity)
    clips = tuple(Clip(_changed(batch.recording, trial, activity), ()) for trial in batch.trials)
    return replace(batch, clips=clips)


def _is_shown_again(recording: SensoriumRecording, activity: Activity) -> bool:
    """Return whether the clips must be shown again to a simulated population."""
    anew = activity.contrast < 1 or activity.spontaneous
    return anew or (activity.spikes < 1 and recording.activity == "simulated")


def _changed(recording: SensoriumRecording, trial: Trial, activity: Activity) -> Trial:
    random = np.random.default_rng([activity.seed, trial.index])
    if _is_shown_again(recording, activity):
        trial = _shown_again(recording, trial, activity, random)
    elif activity.spikes < 1:
        trial = _thinned(trial, activity.spikes, random)
    if activity.shifted:
        trial = _shifted(trial, random)
    return _permuted(recording, trial, random) if activity.permuted else trial


def _shown_again(recording: SensoriumRecording, trial: Trial, activity: Activity, random: np.random.Generator) -> Trial:
    settings = settings_of(recording.made_by, recording.path)
    if trial.behavior is None:
        raise InputError(f"activity: expected behavior in trial {trial.index} of {recording.path}, got none; add it")
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    contrast = 0.0 if activity.spontaneous else activity.contrast
    movie = GREY_LEVEL + contrast * (trial.movie - GREY_LEVEL)
    gain = None
    if activity.spontaneous:
        gain = fluctuations_of(recording).drawn(1, trial.movie.shape[1], generator)
    found = show_again(settings, movie[None], trial.behavior[None], generator, kept=activity.spikes, gain=gain)
    return replace(trial, movie=movie, responses=found[0][0], rates=found[1][0])


def _thinned(trial: Trial, kept: float, random: np.random.Generator) -> Trial:
    counts = trial.responses
    if bool((counts != counts.round()).any()) or bool((counts < 0).any()):
        raise InputError(
            f"activity.spikes: expected whole numbers of spikes in trial {trial.index}, got other responses, of which "
            "no share can be drawn; take a simulated recording, or population.share"
        )
    seen = random.binomial(counts.numpy().astype(np.int64), kept) / kept
    return replace(trial, responses=torch.from_numpy(seen).to(counts))


def _shifted(trial: Trial, random: np.random.Generator) -> Trial:
    frames = trial.movie.shape[1]
    lag = int(random.integers(max(frames // 4, 1), max(frames - frames // 4, 2)))
    behavior = None if trial.behavior is None else trial.behavior.roll(lag, -1)
    return replace(trial, responses=trial.responses.roll(lag, -1), behavior=behavior, rates=None)


def _permuted(recording: SensoriumRecording, trial: Trial, random: np.random.Generator) -> Trial:
    scale = torch.from_numpy(recording.statistic("responses", "std", frames=1).astype(np.float32))
    scale = scale.clamp_min(0.01 * float(scale.mean()))
    order = torch.from_numpy(random.permutation(len(scale)))
    return replace(trial, responses=scale * (trial.responses / scale)[order], rates=None)


def _repeated(recording: SensoriumRecording) -> dict[str, list[int]]:
    """Return the trials of every validation clip that was shown at least twice."""
    shown: dict[str, list[int]] = {}
    for index in recording.trials("oracle"):
        if recording.has_responses(index):
            shown.setdefault(recording.video_ids[index], []).append(index)
    return {name: trials for name, trials in shown.items() if len(trials) > 1}


@functools.lru_cache(maxsize=1)
def fluctuations_of(recording: SensoriumRecording) -> Fluctuations:
    """Return the shared fluctuations of the repeats of a recording's validation clips."""

    def repeats() -> Iterator[Tensor]:
        for trials in _repeated(recording).values():
            every = [recording.trial(index).responses for index in trials]
            frames = min(one.shape[1] for one in every)
            yield torch.stack([one[:, :frames] for one in every])

    return measured(repeats())
