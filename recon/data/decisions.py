"""What was decided when a recording was read or written: format, grey levels, rate, clock, tiers, missing streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from recon.data.findings import some_of
from recon.data.header import read_header
from recon.data.layout import ABSENT, data_file
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

TOPICS = ("format", "signal", "scale", "rate", "angle", "clock", "tiers", "missing", "units", "left out")
"""Topics in the order in which they are shown; others follow."""
STREAMS = ("behavior", "pupil_center")
WIDTH = 10


def decisions(recording: SensoriumRecording, found: Survey) -> dict[str, str]:
    """Return one sentence per topic: what the files state, what was assumed, and what a conversion chose."""
    header = read_header(recording.path)
    own = {
        "format": _format(recording.made_by),
        "signal": recording.signal or "unknown: the files do not say whether responses are spikes or calcium",
        "scale": _scale(found),
        "rate": f"{recording.frame_rate:g} Hz" + _assumed("frame_rate" in header, "Sensorium 2023's"),
        "angle": f"{recording.degrees_per_pixel:.4g}° per pixel"
        + _assumed(_known_angle(header), "as in Sensorium 2023"),
        "clock": "frames and responses are taken as aligned in the files",
        "tiers": _tiers(recording),
        "missing": _missing(recording, found),
    }
    stated = recording.made_by.get("decided")
    chosen = {str(topic): str(text) for topic, text in stated.items()} if isinstance(stated, Mapping) else {}
    merged = own | chosen | {topic: f"{chosen[topic]}; {own[topic]}" for topic in ("scale", "tiers") if topic in chosen}
    return {topic: merged[topic] for topic in (*TOPICS, *sorted(set(merged) - set(TOPICS))) if merged.get(topic)}


def shown(decided: Mapping[str, str]) -> list[str]:
    """Return one line for every decision.

    >>> shown({"rate": "30 Hz"})
    ['rate      30 Hz']
    """
    return [f"{topic:{WIDTH}s}{' '.join(text.split())}" for topic, text in decided.items()]


def _format(made_by: Mapping[str, Any]) -> str:
    source = made_by.get("format")
    if source:
        return f"{source}, converted to the layout of Sensorium 2023"
    command = made_by.get("command")
    return f"layout of Sensorium 2023, written by `{command}`" if command else "layout of Sensorium 2023, as published"


def _known_angle(header: Mapping[str, Any]) -> bool:
    """Whether the degrees per pixel come from the data: a conversion that had to assume them said so in its notes."""
    notes = header["made_by"].get("notes") or []
    return "degrees_per_pixel" in header and not any("degrees per pixel are unknown" in str(note) for note in notes)


def _assumed(stated: bool, by: str) -> str:
    return "" if stated else f", assumed ({by}): the source states none"


def _scale(found: Survey) -> str:
    if not found.facts:
        return "no readable video"
    low, high = min(one.low for one in found.facts.values()), max(one.high for one in found.facts.values())
    return f"grey levels 0–255; the videos have {low:.4g} to {high:.4g}"


def _tiers(recording: SensoriumRecording) -> str:
    counts = Counter(tier for tier in recording.tiers if tier != ABSENT)
    return ", ".join(f"{count} {tier}" for tier, count in counts.items()) or "no trial"


def _missing(recording: SensoriumRecording, found: Survey) -> str:
    out = []
    for stream in STREAMS:
        absent = [i for i in found.facts if not data_file(recording.path, stream, i).exists()]
        if absent:
            out.append(f"{stream} in {'all trials' if len(absent) == len(found.facts) else some_of(absent)}")
    return ", ".join(out) or "nothing: responses, behavior and pupil_center are in all trials"
