"""Onsets of trials within the session, from the provenance of a recording, and which trials follow without a break."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from recon.data.layout import Array
from recon.data.sensorium import SensoriumRecording

ONSETS = "onsets"
"""Key in `made_by`: onset of every trial in seconds after the first presentation, written by conversion and import."""
MS_PER_MINUTE = 60_000.0
"""Drift in ms per minute of a clock that gains one second per second."""


def session_onsets(recording: SensoriumRecording, frames: Mapping[int, int]) -> tuple[dict[int, float], bool]:
    """Return the onset in seconds of the trials in `frames` (their lengths), and whether onsets are stored.

    Without stored onsets, trials are taken to follow one another in the order of their indices.
    """
    stored = recording.made_by.get(ONSETS)
    if isinstance(stored, list) and len(stored) == len(recording.tiers):
        known = {i: float(stored[i]) for i in frames if isinstance(stored[i], int | float)}
        if len(known) == len(frames):
            return known, True
    begins = np.cumsum([0, *frames.values()]) / recording.frame_rate
    return dict(zip(frames, begins[:-1].tolist(), strict=True)), False


def successors(onsets: Mapping[int, float], frames: Mapping[int, int], rate: float) -> dict[int, int]:
    """Return the trial that begins where another ends, within half a frame.

    >>> successors({0: 0.0, 1: 10.0, 2: 21.0}, {0: 300, 1: 300, 2: 300}, 30.0)
    {0: 1}
    """
    order = sorted(onsets, key=lambda i: onsets[i])
    return {
        one: other
        for one, other in pairwise(order)
        if abs(onsets[one] + frames[one] / rate - onsets[other]) < 0.5 / rate
    }


def delay(times: Array, *, lag: float, drift: float) -> Array:
    """Return lag + drift · t in seconds, at times since the start of the session; `drift` in ms per minute.

    >>> delay(np.array([0.0, 600.0]), lag=0.1, drift=2.0).round(6).tolist()
    [0.1, 0.12]
    """
    return lag + drift / MS_PER_MINUTE * times
