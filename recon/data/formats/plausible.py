"""Clocks that cannot be in seconds: times in milliseconds are a thousand times too far apart, or too close."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from recon.data.formats.session import Session, ShownStimulus, Spikes
from recon.data.layout import Array
from recon.errors import InputError

SLOWEST = 5.0
"""Longest plausible interval between samples of activity, in seconds."""
FASTEST = 1e-4
"""Shortest plausible interval between samples or frames, in seconds."""
STILL = 10.0
"""Longest plausible interval between the frames of a movie, in seconds."""
SILENT = 0.01
"""Lowest plausible median rate of spikes in Hz, where they last a hundred times longer than the stimulus."""
SEVERAL = 10
"""Fewest frames that make a movie."""


def check_clocks(session: Session) -> None:
    """Raise InputError if responses or frames are so far apart or so close that their times are not in seconds."""
    if isinstance(session.responses, Spikes):
        _check_spikes(session, session.responses)
    else:
        _check_interval(f"{session.name}, responses", _interval(session.responses.times), SLOWEST)
    movies = [shown for shown in session.shown if len(shown.onsets) >= SEVERAL]
    if movies and not session.stills:
        usual = median(_interval(shown.onsets) for shown in movies)
        _check_interval(f"{session.name}, frames of the movies", usual, STILL)


def _interval(times: Array) -> float:
    return float(np.median(np.diff(times)))


def _check_interval(what: str, interval: float, longest: float) -> None:
    if FASTEST <= interval <= longest:
        return
    slow = interval > longest
    raise InputError(
        f"{what}: expected times in seconds, got one every {interval:.3g} s; "
        f"{'divide them by 1000 if they are milliseconds' if slow else 'multiply them by the unit of their clock'}"
    )


def _check_spikes(session: Session, spikes: Spikes) -> None:
    first, end = spikes.span
    shown = max(_end(session.shown) - session.start, 1e-9)
    rates = [len(times) / max(end - first, 1e-9) for times in spikes.times]
    if rates and end - first > 100 * shown and median(rates) < SILENT:
        raise InputError(
            f"{session.name}, spikes: expected times in seconds, got {median(rates):.2g} spikes per second over "
            f"{(end - first) / shown:.0f} times the duration of the stimulus; divide by 1000 if they are milliseconds"
        )


def _end(shown: Sequence[ShownStimulus]) -> float:
    return max((one.end for one in shown), default=0.0)
