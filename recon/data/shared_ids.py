"""Content ids that several trials share although they showed different videos."""

from __future__ import annotations

from collections.abc import Iterable

from recon.data.header import read_video_ids
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey


def shared_ids(recording: SensoriumRecording, found: Survey) -> list[tuple[str, str]]:
    """Return an error for every content id that stands for several contents: their trials would be averaged.

    Ids that a recording does not store come from its contents.
    """
    ids = read_video_ids(recording.path, trials=len(recording.tiers))
    shown: dict[str, dict[str, int]] = {}
    for trial, facts in found.facts.items() if ids else ():
        shown.setdefault(ids[trial], {}).setdefault(facts.signature.content, trial)
    return [("error", _sentence(name, firsts.values())) for name, firsts in shown.items() if len(firsts) > 1]


def _sentence(name: str, trials: Iterable[int]) -> str:
    listed = ", ".join(map(str, list(trials)[:8]))
    return (
        f"video id {name!r}: expected one content, got different videos in trials {listed}, which would count as "
        "repeats; delete meta/trials/video_ids.npy to have ids from contents"
    )
