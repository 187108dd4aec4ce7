"""Arrays published trial by trial, on one clock with pauses between trials, read lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from recon.data.formats.session import ShownStimulus, Stream
from recon.data.layout import Array
from recon.errors import InputError

PAUSE = 60.0
"""Pause between trials in seconds, longer than any gap that is interpolated."""
KEPT = 4
"""Size of the cache in arrays; neighbouring trials are often read together."""


class Joined:
    """Lazy concatenation of arrays `(T_k, n)` in time."""

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
    """Return the start times `(K,)` of the trials in seconds, on whole frames to avoid interpolation.

    >>> starts([30, 30], 30.0).tolist()
    [0.0, 61.0]
    """
    lengths = np.asarray(frames) + round(PAUSE * rate)
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]) / rate


def stream(frames: Sequence[int], rate: float, width: int, read: Callable[[int], Array]) -> Stream:
    """Return a stream of the arrays `(T_k, n)`; `read` returns the array of a trial by its index."""
    clock = [begin + np.arange(count) / rate for begin, count in zip(starts(frames, rate), frames, strict=True)]
    return Stream(np.concatenate(clock), Joined(frames, width, read))


def presentations(
    frames: Sequence[int], rate: float, read: Callable[[int], Array], *, contents: Sequence[str], tiers: Sequence[str]
) -> list[ShownStimulus]:
    """Return one presentation per trial; `read` returns its movie `(T_k,H,W)`, grey levels 0–255."""
    begins = starts(frames, rate)
    return [
        ShownStimulus(
            begins[trial] + np.arange(count) / rate,
            begins[trial] + count / rate,
            partial(_frames, read, trial),
            contents[trial],
            tiers[trial],
        )
        for trial, count in enumerate(frames)
    ]


def _frames(read: Callable[[int], Array], trial: int, numbers: Array) -> Array:
    """Return frames of a trial by number."""
    selected: Array = read(trial)[numbers]
    return selected
