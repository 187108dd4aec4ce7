"""Texts in units of neurons: how many more neurons without text give the score that the text gives.

The curve of the scores without text is made non-decreasing in the number of neurons by isotonic regression, and is
linear in the logarithm of that number between the numbers measured. The text's gain is added to this curve: what the
scores with and without text share, such as an unlucky draw of neurons, cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from recon.metrics.statistics import resampled_means

Array = NDArray[np.float64]
RESAMPLES = 2000
TAIL = 0.025
"""Share of the resamples below, and above, a 95 % interval."""


@dataclass(frozen=True)
class Worth:
    """Neurons that a text is worth, with its 95 % interval over clips; NaN with a `reason` where undefined.

    Infinite: more than the largest number of neurons gives without text. Minus infinite: less than the smallest gives.
    """

    value: float
    low: float
    high: float
    reason: str = ""


def worths(neurons: Sequence[int], none: Array, text: Array, *, generator: np.random.Generator) -> list[Worth]:
    """Return the worth of a text at each number of neurons, from scores `[L,n]` with and without it of the same clips.

    `neurons` `[L]` ascend; the higher a score the better. The interval is that of a bootstrap over clips, paired.

    >>> none = np.array([[0.0], [1.0], [2.0]])
    >>> found = worths([10, 100, 1000], none, none + 0.5, generator=np.random.default_rng(0))
    >>> [round(one.value, 1) for one in found]
    [21.6, 216.2, inf]
    """
    curves, gains = isotonic(none.mean(1)[None]), (text - none).mean(1)[None]
    values = _gained(neurons, curves, gains)[0]
    if none.shape[1] < 2:
        return [Worth(float(value), np.nan, np.nan, "one clip: no interval") for value in values]
    means = resampled_means(np.stack([none, text - none]), generator=generator, resamples=RESAMPLES)
    drawn = np.sort(_gained(neurons, isotonic(means[:, 0]), means[:, 1]), axis=0)
    tail = int(TAIL * len(drawn))
    return [
        Worth(float(value), float(low), float(high))
        for value, low, high in zip(values, drawn[tail], drawn[-tail - 1], strict=True)
    ]


def isotonic(curves: Array) -> Array:
    """Return the non-decreasing curves `[R,L]` nearest to some, by least squares."""
    return np.stack([isotonic_regression(curve).x for curve in curves])


def equivalent(neurons: Sequence[int], curves: Array, place: int, gains: Array) -> Array:
    """Return the numbers of neurons `[R]` at which non-decreasing curves `[R,L]` have the score at `place` plus a gain.

    Where a curve is flat the number is the one nearest to that at `place`; infinite above a curve, 0 below it.
    """
    counts, targets = np.asarray(neurons, dtype=np.float64), curves[:, place] + gains
    more = _reached(counts[place:], curves[:, place:], targets)
    fewer = 1 / _reached(1 / counts[place::-1], -curves[:, place::-1], -targets)
    return np.where(gains >= 0, more, fewer)


def _gained(neurons: Sequence[int], curves: Array, gains: Array) -> Array:
    """Return the neurons gained `[R,L]`; minus infinite below a curve."""
    found = [equivalent(neurons, curves, place, gains[:, place]) for place in range(len(neurons))]
    return np.stack([np.where(one > 0, one - own, -np.inf) for one, own in zip(found, neurons, strict=True)], axis=1)


def _reached(counts: Array, curves: Array, targets: Array) -> Array:
    """Return the first of ascending counts `[R]` at which curves `[R,L]` reach targets `[R]`; infinite where none."""
    there, rows = curves >= targets[:, None], np.arange(len(curves))
    after = there.argmax(1)
    before = np.maximum(after - 1, 0)
    low, high = curves[rows, before], curves[rows, after]
    part = (targets - low) / np.where(high > low, high - low, 1.0)
    between = counts[before] * (counts[after] / counts[before]) ** part
    return np.where(there.any(1), np.where(after > 0, between, counts[0]), np.inf)
