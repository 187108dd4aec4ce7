"""Flashed stimuli: a block of images or gratings, with the grey screens between them, becomes one presentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from recon.data.formats.placement import GREY, Degrees
from recon.data.formats.presentations import BLANK, TableRows, blocks_of
from recon.data.formats.session import ShownStimulus
from recon.data.layout import Array
from recon.data.resize import Size

PAUSE = 0.05
"""Minimum grey screen in seconds between two flashes; shorter ones are jitter of the clock."""


@dataclass(frozen=True)
class FlashedStimulus:
    """Images or gratings by number: `read` returns frames `(k,H,W)` for numbers `(k,)` and seconds since onset `(k,)`.

    Frames have `size` pixels of `degrees`; those of `moving` numbers change `refresh` times per second.
    """

    name: str
    read: Callable[[Array, Array], Array]
    size: Size
    degrees: Degrees
    moving: Array
    refresh: float


def blocks(stimulus: FlashedStimulus, rows: TableRows) -> Iterator[ShownStimulus]:
    """Yield a presentation for every block of consecutive flashes; blank rows and pauses are grey."""
    for place, block in enumerate(blocks_of(rows)):
        onsets, numbers, elapsed = timeline(block, moving=stimulus.moving, refresh=stimulus.refresh)
        yield ShownStimulus(
            onsets,
            max(float(block.stops[-1]), float(onsets[-1]) + 1e-3),
            partial(_frames, stimulus, numbers, elapsed),
            f"{stimulus.name} {place}",
            degrees=stimulus.degrees,
            paced=False,
        )


def timeline(rows: TableRows, *, moving: Array, refresh: float) -> tuple[Array, Array, Array]:
    """Return onsets, numbers (−1: grey) and seconds since the row's start of all frames of a block `(F,)`.

    >>> rows = TableRows(np.array([0.0, 1.0]), np.array([0.5, 2.0]), np.array([3, -1]), np.arange(2))
    >>> [each.tolist() for each in timeline(rows, moving=np.zeros(4, bool), refresh=60.0)]
    [[0.0, 0.5, 1.0], [3, -1, -1], [0.0, 0.0, 0.0]]
    """
    lengths = rows.stops - rows.starts
    drifts = (rows.numbers != BLANK) & moving[rows.numbers]
    counts = np.where(drifts, np.maximum(np.ceil(lengths * refresh - 1e-6), 1), 1).astype(np.int64)
    row = np.repeat(np.arange(len(counts)), counts)
    elapsed = (np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)) / refresh
    ends = np.maximum(rows.stops, rows.starts + 1e-3)
    grey = np.flatnonzero(rows.starts[1:] - ends[:-1] > PAUSE)
    onsets = np.concatenate([rows.starts[row] + elapsed, ends[grey]])
    numbers = np.concatenate([rows.numbers[row], np.full(len(grey), BLANK)])
    order = np.argsort(onsets, kind="stable")
    return onsets[order], numbers[order], np.concatenate([elapsed, np.zeros(len(grey))])[order]


def _frames(stimulus: FlashedStimulus, shown: Array, elapsed: Array, numbers: Array) -> Array:
    """Return frames of a block by their place in it; grey where nothing is shown."""
    own = shown[numbers]
    drawn = own != BLANK
    frames = np.full((len(own), *stimulus.size), GREY, dtype=np.float32)
    if drawn.any():
        frames[drawn] = stimulus.read(own[drawn], elapsed[numbers][drawn])
    return frames
