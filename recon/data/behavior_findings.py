"""Findings of a check about behavior that was not recorded: streams that are absent, trials with gaps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from recon.data.layout import MASKED, data_file, load_array
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

Level = Literal["error", "warning", "note"]
STREAMS = ("pupil dilation", "running speed", "pupil x", "pupil y")
NAMED = 8
"""Trials that a line names."""


def behavior_findings(recording: SensoriumRecording, found: Survey) -> list[tuple[Level, str]]:
    """Return level and text of every finding about streams that some, or all, readable trials lack."""
    lost = {index: unknown_share(recording, index, one.frames) for index, one in found.facts.items()}
    out: list[tuple[Level, str]] = []
    never = [name for row, name in enumerate(STREAMS) if lost and all(share[row] == 1 for share in lost.values())]
    if never:
        out.append(("note", f"{', '.join(never)}: in no trial; encoders that use them refuse this recording"))
    for row, name in enumerate(STREAMS):
        trials = [index for index, share in lost.items() if share[row]]
        if trials and name not in never:
            share = float(np.mean([lost[index][row] for index in trials]))
            shown = ", ".join(map(str, trials[:NAMED])) + (", …" if len(trials) > NAMED else "")
            out.append(
                (
                    "warning",
                    f"{name}: unknown in {share:.0%} of the frames of {len(trials)} trials ({shown}); encoders that "
                    "use it refuse these, unless trained with training.behavior_dropout",
                )
            )
    return out


def unknown_share(recording: SensoriumRecording, index: int, frames: int) -> tuple[float, ...]:
    """Return the share of a trial's `frames` valid frames in which each stream is unknown: 1 without a file."""
    shares: list[float] = []
    for name in MASKED:
        file = data_file(recording.path, name, index)
        known = ~np.isnan(load_array(file)[..., :frames]) if file.exists() else np.zeros((2, 1), dtype=bool)
        shares += (1 - known.mean(1)).tolist()
    return tuple(shares)
