"""Arrays that were published trial by trial, on one clock that leaves room between trials; read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from recon.data.formats.session import ShownStimulus, Stream
from recon.data.layout import Array
from recon.errors import InputError

PAUSE = 60.0
"""Seconds between trials: more than anything is ever interpolated over."""
KEPT = 4
"""Arrays that stay in memory: those of neighbours are asked for together."""


class Joined:
    """Arrays `(T_k, n)` one after another, of which only those that are asked for are read."""

    def __init__(self, frames: Sequence[int], width: int, read: Callable[[int], Array]) -> None:
        self.edges = np.concatenate([[0], np.cumsum(frames)])
        self.shape = (int(self.edges[-1]), width)
        self._read = lru_cache(maxsize=KEPT)(partial(self._checked, read))

    def __getitem__(self, span: Any) -> Array:
        first, end, _ = span.indices(self.shape[0])
        low = int(np.searchsorted(self.edges, first, side="right")) - 1
        pieces = [np.empty((0, self.shape[1]))]
        for number in range(low, int(np.searchsorted(self.edges, end))):
            edge = int(self.edges[number])
            pieces.append(self._read(number)[max(first - edge, 0) : end - edge])
        return np.concatenate(pieces)

    def _checked(self, read: Callable[[int], Array], number: int) -> Array:
        array = read(number)
        expected = (int(self.edges[number + 1] - self.edges[number]), self.shape[1])
        if array.shape != expected:
            raise InputError(f"trial {number}: expected an array {expected}, got {array.shape}; copy the folder again")
        return array


def starts(frames: Sequence[int], rate: float) -> Array:
    """Return when each trial begins `(K,)` in seconds: on whole frames, so that nothing has to be interpolated.

    >>> starts([30, 30], 30.0).tolist()
    [0.0, 61.0]
    """
    lengths = np.asarray(frames) + round(PAUSE * rate)
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]) / rate


def stream(frames: Sequence[int], rate: float, width: int, read: Callable[[int], Array]) -> Stream:
    """Return the stream of arrays `(T_k, n)` that `read` returns by the number of a trial."""
    clock = [begin + np.arange(count) / rate for begin, count in zip(starts(frames, rate), frames, strict=True)]
    return Stream(np.concatenate(clock), Joined(frames, width, read))


def presentations(
    frames: Sequence[int], rate: float, read: Callable[[int], Array], *, contents: Sequence[str], tiers: Sequence[str]
) -> list[ShownStimulus]:
    """Return what was shown: `read` returns the movie `(T_k,H,W)` of a trial, grey levels 0–255."""
    begins = starts(frames, rate)
    return [
        ShownStimulus(
            begins[trial] + np.arange(count) / rate,
            begins[trial] + count / rate,
            partial(_some, read, trial),
            contents[trial],
            tiers[trial],
        )
        for trial, count in enumerate(frames)
    ]


def _some(read: Callable[[int], Array], trial: int, numbers: Array) -> Array:
    """Return the frames of given numbers."""
    some: Array = read(trial)[numbers]
    return some
