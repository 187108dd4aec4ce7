"""Findings about videos: ids that stand for several contents, and trials of another grey scale than the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from recon.data.header import read_video_ids
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

SHOWN = 8
"""Trials that a finding names."""


def shared_ids(recording: SensoriumRecording, found: Survey) -> list[tuple[Literal["error"], str]]:
    """Return an error for every content id that stands for several contents: their trials would be averaged.

    Ids that a recording does not store come from its contents.
    """
    ids = read_video_ids(recording.path, trials=len(recording.tiers))
    shown: dict[str, dict[str, int]] = {}
    for trial, facts in found.facts.items() if ids else ():
        shown.setdefault(ids[trial], {}).setdefault(facts.signature.content, trial)
    return [
        (
            "error",
            f"video id {name!r}: expected one content, got different videos in trials {_listed(firsts.values())}, "
            "which would count as repeats; delete meta/trials/video_ids.npy to have ids from contents",
        )
        for name, firsts in shown.items()
        if len(firsts) > 1
    ]


def mixed_scales(_: SensoriumRecording, found: Survey) -> list[tuple[Literal["error"], str]]:
    """Return an error if videos of some trials end at 1, and others in 0–255."""
    small = [trial for trial, facts in found.facts.items() if 0 < facts.high <= 1]
    if not small or len(small) == len(found.facts):
        return []
    return [
        (
            "error",
            f"videos: expected one grey scale, got at most 1 in trials {_listed(small)} and 0–255 in others; rescale "
            "these trials",
        )
    ]


def _listed(trials: Iterable[int]) -> str:
    every = list(trials)
    return ", ".join(map(str, every[:SHOWN])) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
