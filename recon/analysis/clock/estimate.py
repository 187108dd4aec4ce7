"""Estimate of the clock of a recording: lag, drift and the order of the clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from recon.analysis.clock.drift import Estimate, LagFit, fit_lag
from recon.analysis.clock.order import Misplaced, misplaced
from recon.analysis.clock.search import Fit, drifting, prepared, reach_of, search, trial_curves, weights_at
from recon.analysis.clock.timeline import Timeline, read_timeline
from recon.data.layout import Array
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

WIDTH = 2.0
"""Lags within so many seconds of the best shift enter the fit of lag and drift."""
ERROR = 0.001
"""Probability of finding a lag where responses and stimulus are unrelated."""
MOVED = 2.0
"""Change of the lag over the session, in frames, from which trials are aligned before the final fit."""
ROUNDS = 3
PEAKS = 20
"""Independent lags and drifts around a shift, and drifts in separate blocks, of which the best is taken."""
EDGE = 2
"""Frames from the largest shift searched at which the best one may lie beyond."""


@dataclass(frozen=True)
class Clock:
    """Lag in seconds at the middle of the session, and its drift in ms per minute; lag and drift None if not found.

    `start`: the lag at the start of the session, in seconds. `searched`: largest shift in seconds, to either side.
    `clips`: different ones among the trials.
    `clarity`: standard errors by which the agreement at the fitted lags exceeds zero.
    `score`: Pearson's r of responses and held-out predictions at the best shift. `change`: of the lag over the session,
    in frames. `at_edge`: the best shift is one of the largest that were searched. `misplaced` are the trials whose
    responses fit the clip of another trial.
    """

    lag: Estimate | None
    drift: Estimate | None
    start: float
    change: Estimate
    score: float
    clarity: float
    searched: float
    trials: int
    clips: int
    minutes: float
    rate: float
    timed: bool
    misplaced: tuple[Misplaced, ...] = ()
    at_edge: bool = False


def estimate_clock(recording: SensoriumRecording, found: Survey) -> Clock | None:
    """Estimate the clock of a recording; None if it has too few trials, or none longer than 20 frames.

    A ridge regression predicts the responses from local grey level, contrast and change of the movie, at every shift
    between them; trials are predicted by weights learnt on the others. The lag maximises the agreement.
    """
    line = read_timeline(recording, found)
    return None if line is None or len(set(line.clips)) < 2 else clock_of(line)


def clock_of(line: Timeline) -> Clock:
    """Estimate the clock of features and responses on one axis of frames."""
    fit, reach = prepared(line), reach_of(line)
    late = np.zeros(len(line.trials), dtype=int)
    found = search(fit, reach, late)
    clips = len({line.clips[i] for i in fit.chosen})
    fitted, late = _refined(fit, found.penalty, late + found.best)
    least = _least(clips, len(found.scores) * PEAKS)
    if fitted.clarity < least:
        lag, change = drifting(fit, reach)
        least = _least(clips, len(found.scores) * PEAKS**2)
        fitted, late = _refined(fit, found.penalty, np.rint(lag + change * line.progress).astype(int))
    minutes = sum(line.lengths) / line.rate / 60
    about: dict[str, Any] = {"searched": reach / line.rate, "trials": len(line.trials), "clips": clips}
    about |= {"minutes": minutes, "rate": line.rate}
    score = float(found.scores.max())
    clear = fitted.clarity > least and fitted.bounded and abs(fitted.lag.value) <= reach
    at_edge = reach - abs(fitted.lag.value) <= EDGE
    if not clear:
        return Clock(None, None, 0.0, fitted.change, score, fitted.clarity, timed=line.timed, **about)
    weights = weights_at(fit, 0, found.penalty, late)
    per_minute = 1000 / line.rate / (line.seconds / 60) if line.seconds > 0 else 0.0
    first = float(line.progress.min()) - line.until_first / max(line.seconds, 1e-9)
    return Clock(
        fitted.lag.times(1 / line.rate),
        fitted.change.times(per_minute),
        (fitted.lag.value + fitted.change.value * first) / line.rate,
        fitted.change,
        score,
        fitted.clarity,
        timed=line.timed,
        misplaced=() if at_edge else misplaced(fit, weights, late),
        at_edge=at_edge,
        **about,
    )


def _least(clips: int, tried: int) -> float:
    """Return the clarity that the best of `tried` unrelated lags does not reach."""
    return float(student.isf(ERROR / tried, clips - 1))


def _refined(fit: Fit, penalty: float, late: Array) -> tuple[LagFit, Array]:
    """Fit lag and drift, and again with trials aligned by what was found, until the drift is settled.

    `late`: frames by which the responses of every trial follow the stimulus; returned as they are at the end.
    """
    line, chosen = fit.line, list(fit.chosen)
    clips = np.array([line.clips[i] for i in chosen])
    width = max(int(min(WIDTH * line.rate, min(line.lengths) / 4)), 4)
    for _ in range(ROUNDS):
        weights = weights_at(fit, 0, penalty, late)
        curves = trial_curves(fit, weights, chosen, late[chosen], reach=width)
        fitted = fit_lag(curves, line.progress[chosen], origin=late[chosen], clips=clips)
        new = np.rint(fitted.lag.value + fitted.change.value * line.progress).astype(int)
        if np.ptp(new - late) <= MOVED / 2 and abs(float((new - late).mean())) <= 1:
            break
        late = new
    return fitted, late
