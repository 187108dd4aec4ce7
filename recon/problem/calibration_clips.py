"""Clips that calibrate intervals: seen by no training, selection or stopping, and other clips than those scored."""

from __future__ import annotations

from collections.abc import Sequence

from recon.data.layout import TRAIN, VALIDATION
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.problem.clips import Clip, Clips, choose_clips
from recon.problem.conditions import Condition

SHOWN_ONCE: tuple[Condition, ...] = ("recorded", "wrong_clip", "predicted", "noise_free")
"""Conditions of one presentation: calibration clips can be posed so, and a judge finds the other repeats unseen."""
LEARNT = (TRAIN, VALIDATION)
"""Tiers that training, selection and stopping see."""


def calibration_clips(
    recording: SensoriumRecording, *, tier: str, count: int, trials: tuple[int, ...], scored: Sequence[Clip]
) -> tuple[Clip, ...]:
    """Return the first presentations of `count` videos of a tier (0: all), or the named trials.

    Raises InputError for trials that training or stopping sees, for videos shown in them, and for videos that are
    `scored`: an interval that was calibrated on its own truth says nothing.
    """
    _refuse_learnt(recording, tier, trials)
    used = {clip.trial.video_id for clip in scored}
    taken = {recording.video_ids[i] for name in LEARNT for i in recording.trials(name)}
    found = choose_clips(recording, _choice(recording, tier, count, trials))
    for videos, what in ((taken, "training or validation trials show"), (used, "the scored clips show")):
        if twice := [clip.trial.index for clip in found if clip.trial.video_id in videos]:
            raise InputError(
                f"intervals: expected calibration clips of videos of their own, got trials {_some(twice)} of videos "
                f"that {what} too; name others"
            )
    return found


def _refuse_learnt(recording: SensoriumRecording, tier: str, trials: tuple[int, ...]) -> None:
    known = {index: name for name in LEARNT for index in recording.trials(name)}
    learnt = [index for index in trials if index in known]
    if learnt or (not trials and tier in LEARNT):
        got = f"trials {_some(learnt)} of tier {known[learnt[0]]}" if learnt else f"tier {tier}"
        raise InputError(
            f"intervals: expected clips that no training, selection or stopping has seen, got {got}; simulate with "
            "calibration_clips, or name trials of another tier"
        )


def _choice(recording: SensoriumRecording, tier: str, count: int, trials: tuple[int, ...]) -> Clips:
    if trials:
        return Clips(trials=trials)
    there = [index for index in recording.trials(tier) if recording.has_responses(index)]
    videos = len({recording.video_ids[index] for index in there})
    if not videos:
        tiers = ", ".join(sorted(set(recording.tiers) - {"none", *LEARNT})) or "none that is left"
        raise InputError(
            f"intervals: expected calibration clips with responses in tier {tier} of {recording.path}, got none; "
            f"simulate with calibration_clips, or name trials, or another tier of {tiers}"
        )
    return Clips(tier, count or videos)


def _some(trials: Sequence[int]) -> str:
    return ", ".join(map(str, trials[:5])) + (" …" if len(trials) > 5 else "")
