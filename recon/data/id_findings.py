"""What a check says about the ids of neurons."""

from __future__ import annotations

from typing import Literal

from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

Level = Literal["error", "warning", "note"]


def id_findings(recording: SensoriumRecording, found: Survey) -> list[tuple[Level, str]]:
    """Return the findings on the ids of a recording that was opened with `lenient`: an id twice, texts as ids."""
    units = recording.units
    errors: list[tuple[Level, str]] = [("error", units.complaint)] if units.complaint else []
    return [*errors, *(("note", note) for note in units.notes)]
