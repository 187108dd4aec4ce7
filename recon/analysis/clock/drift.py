"""Lag and drift from the curves of all trials, jointly, with intervals by bootstrap over trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from recon.data.layout import Array

DRAWS = 400
"""Bootstrap samples of trials."""
FINE = 0.25
"""Step in frames of the fine grid of lags; that of drifts is twice as large."""
AROUND = 24
"""Steps of the fine grid to either side of the best lag and drift."""


class Estimate(NamedTuple):
    """A value and its 99 % interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """Return the estimate in other units, by a positive factor."""
        return Estimate(*(factor * part for part in self))


@dataclass(frozen=True)
class LagFit:
    """Lag at the middle of the session and change of the lag over the session, in frames, and how clear the peak is.

    `clarity`: mean over clips of the product of prediction and responses at the fitted lags, in standard errors.
    `bounded`: the fitted lag is inside the range of the curves, not at its edge.
    """

    lag: Estimate
    change: Estimate
    clarity: float
    bounded: bool


def fit_lag(curves: Array, progress: Array, *, origin: Array, clips: Array) -> LagFit:
    """Fit lag = a + c · progress to curves `[trials,2R+1]` around shifts `origin` `[trials]` in frames.

    `progress` `[trials]` from -0.5 to 0.5. Maximises the sum over trials of the curve at the lag of the trial. `clips`
    `[trials]` are equal for repeats, which share their errors: clips are drawn and averaged, not trials.
    """
    reach = curves.shape[1] // 2
    centre, start = float(origin.mean()), float(np.polyfit(progress, origin, 1)[0]) if np.ptp(progress) > 0 else 0.0
    spline = CubicSpline(np.arange(-reach, reach + 1), curves, axis=1)
    knots = np.linspace(-reach, reach, round(2 * reach / FINE) + 1)
    fine = spline(knots)
    rows = np.arange(len(curves))

    def scored(lags: Array, changes: Array) -> Array:
        """Return the curves `[trials,len(lags),len(changes)]` at lag + change · progress."""
        at = lags[None, :, None] + changes[None, None, :] * progress[:, None, None] - origin[:, None, None]
        place = np.rint((at + reach) / FINE).astype(int)
        found: Array = fine[rows[:, None, None], np.clip(place, 0, len(knots) - 1)]
        return np.where((place >= 0) & (place < len(knots)), found, 0.0)

    lags, changes = centre + np.arange(-reach, reach + 1.0), start + np.arange(-reach, reach + 1.0)
    coarse = np.concatenate([scored(lags, changes[c : c + 1]).sum(0) for c in range(len(changes))], axis=1)
    best = np.unravel_index(int(coarse.argmax()), coarse.shape)
    steps = np.arange(-AROUND, AROUND + 1) * FINE
    lags, changes = lags[best[0]] + steps, changes[best[1]] + 2 * steps
    local = scored(lags, changes)
    flat = local.reshape(len(curves), -1)
    distinct, member = np.unique(clips, return_inverse=True)
    count = len(distinct)
    weights = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, member]
    drawn = (weights @ flat).reshape(DRAWS, *local.shape[1:])
    found = np.array([_peak(one, lags, changes) for one in drawn])
    lag, change = _peak(local.sum(0), lags, changes)
    low, high = np.percentile(found, [0.5, 99.5], axis=0)
    own = np.bincount(member, scored(np.array([lag]), np.array([change]))[:, 0, 0])
    clarity = float(own.mean() / max(own.std(ddof=1) / len(own) ** 0.5, 1e-12))
    return LagFit(
        Estimate(lag, min(lag, float(low[0])), max(lag, float(high[0]))),
        Estimate(change, min(change, float(low[1])), max(change, float(high[1]))),
        clarity,
        abs(lag - centre) < reach - 1,
    )


def _peak(surface: Array, lags: Array, changes: Array) -> tuple[float, float]:
    """Return lag and change of the maximum, between the points of the grid by parabolas."""
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    return (
        float(lags[row] + (lags[1] - lags[0]) * vertex(surface[:, column], int(row))),
        float(changes[column] + (changes[1] - changes[0]) * vertex(surface[row], int(column))),
    )


def vertex(curve: Array, place: int) -> float:
    """Return the offset of the vertex of the parabola through a maximum and its neighbours, in steps.

    >>> round(vertex(-((np.arange(5.0) - 2.2) ** 2), 2), 6)
    0.2
    """
    if not 0 < place < len(curve) - 1:
        return 0.0
    before, here, after = curve[place - 1 : place + 2]
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
