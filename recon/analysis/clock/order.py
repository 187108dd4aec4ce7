"""Clips shown in another order than stated: trials whose responses fit the clip of another trial, not their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from recon.analysis.clock.search import Fit
from recon.data.layout import Array

ERROR = 0.01
"""Probability of naming any trial of a recording in the right order."""
MATE = 3.0
"""Standard deviations by which the other half of a swap must fit better, once one half is named."""
DIFFERENT = 0.25
"""Least share of the error of a comparison that is taken to remain between clips that are alike."""
MAD = 1.4826
"""Standard deviation per median absolute deviation, for normal values."""


class Misplaced(NamedTuple):
    """A trial whose responses fit the clip of trial `fits` with correlation `there`, and its own with `here`."""

    trial: int
    fits: int
    there: float
    here: float


def misplaced(fit: Fit, weights: Tensor, late: Array) -> tuple[Misplaced, ...]:
    """Return the trials whose responses fit another clip of equal length markedly better than their own.

    `weights` `[K,D,N]` of each fold; `late` `[trials]`: frames by which responses follow the stimulus. A clip fits
    better if the difference exceeds what any two unrelated clips of the recording reach, corrected for all pairs.
    """
    lengths = np.array(fit.line.lengths)
    found: list[Misplaced] = []
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length).tolist()
        found += _among(fit, weights, late, members)
    return tuple(found)


def fits_of_clips(fit: Fit, weights: Tensor, late: Array, members: Sequence[int]) -> tuple[Array, list[int]]:
    """Return Pearson's r `[trials,clips]` of responses and predictions, and a trial that showed each clip."""
    first = {fit.line.clips[i]: i for i in reversed(members)}
    shown = sorted(first.values())
    length = fit.line.lengths[members[0]]
    scores = np.zeros((len(members), len(shown)))
    places = {trial: row for row, trial in enumerate(members)}
    stimuli = torch.stack([fit.rotated[slice(*fit.line.spans[i])] for i in shown])
    for fold in range(fit.count):
        own = [i for i in members if fit.folds[i] == fold]
        predicted = (stimuli @ weights[fold]).flatten(1)
        activity = torch.stack([_late(fit, i, int(late[i]), length) for i in own]).flatten(1) if own else predicted[:0]
        size = activity.norm(dim=1)[:, None] * predicted.norm(dim=1)[None]
        scores[[places[i] for i in own]] = ((activity @ predicted.T) / size.clamp_min(1e-12)).double().numpy()
    return scores, shown


def likeness(fit: Fit, weights: Tensor, shown: Sequence[int]) -> Array:
    """Return Pearson's r `[clips,clips]` of the predicted responses to the clips of trials `shown`."""
    stimuli = torch.stack([fit.rotated[slice(*fit.line.spans[i])] for i in shown])
    predicted = (stimuli @ weights[0]).flatten(1)
    predicted = predicted / predicted.norm(dim=1, keepdim=True).clamp_min(1e-12)
    found: Array = (predicted @ predicted.T).double().numpy()
    return found


def _among(fit: Fit, weights: Tensor, late: Array, members: list[int]) -> list[Misplaced]:
    scores, shown = fits_of_clips(fit, weights, late, members)
    if len(shown) < 3:
        return []
    column = {fit.line.clips[trial]: place for place, trial in enumerate(shown)}
    own = np.array([column[fit.line.clips[trial]] for trial in members])
    level, spread = _levelled(scores, own)
    pairs = _mutual(level, own, spread, likeness(fit, weights, shown))
    pairs |= {row: mate for row, mate in _clear(level, own, spread).items() if row not in pairs}
    trials = [fit.line.trials[i] for i in members]
    return [
        Misplaced(trials[row], trials[fits], float(scores[row, own[fits]]), float(scores[row, own[row]]))
        for row, fits in sorted(pairs.items())
    ]


def _levelled(scores: Array, own: Array) -> tuple[Array, float]:
    """Return scores less the medians of unrelated ones in their row and column, and the spread of unrelated ones."""
    others = np.arange(scores.shape[1]) != own[:, None]
    level = scores - np.nanmedian(np.where(others, scores, np.nan), axis=1)[:, None]
    level = level - np.nanmedian(np.where(others, level, np.nan), axis=0)
    return level, MAD * float(np.median(np.abs(level[others])))


def _rivals(level: Array, own: Array) -> tuple[Array, Array]:
    """Return for each trial the best other clip, and by how much it fits better than the trial's own."""
    rows = np.arange(len(own))
    rivals = np.where(np.arange(level.shape[1]) != own[:, None], level, -np.inf)
    best = rivals.argmax(1)
    return best, rivals[rows, best] - level[rows, own]


def _mate(level: Array, own: Array, row: int, clip: int) -> tuple[int, float]:
    """Return the trial of a clip that fits the clip of trial `row` best, compared with its own, and by how much."""
    showing = np.flatnonzero(own == clip)
    gains = level[showing, own[row]] - level[showing, clip]
    return int(showing[gains.argmax()]), float(gains.max())


def _clear(level: Array, own: Array, spread: float) -> dict[int, int]:
    """Return the trials that fit one other clip beyond chance, each with a trial of that clip."""
    best, gain = _rivals(level, own)
    limit = float(norm.isf(ERROR / (level.size - len(level)))) * spread
    named = np.flatnonzero((gain > 2**0.5 * limit) & (level[np.arange(len(own)), best] > limit)).tolist()
    pairs: dict[int, int] = {}
    for row in named:
        pairs[row], back = _mate(level, own, row, int(best[row]))
        if back > 2**0.5 * MATE * spread:
            pairs.setdefault(pairs[row], row)
    return pairs


def _mutual(level: Array, own: Array, spread: float, alike: Array) -> dict[int, int]:
    """Return the pairs of trials that each fit the other's clip best of all, and their own half as well as is usual.

    The gains of both are added. Their error is smaller the more alike the predictions for the two clips are.
    """
    best, gain = _rivals(level, own)
    fitting = level[np.arange(len(own)), own]
    usual = float(np.median(fitting))
    pairs: dict[int, int] = {}
    for row in np.flatnonzero((gain > 0) & (fitting < 0.5 * usual)).tolist():
        mate, back = _mate(level, own, row, int(best[row]))
        error = 2 * spread * max(1 - float(alike[own[row], own[mate]]), DIFFERENT) ** 0.5
        mutual = best[mate] == own[row] and fitting[mate] < 0.5 * usual and back > 0
        if mutual and gain[row] + back > float(norm.isf(ERROR / len(own))) * error:
            pairs |= {row: mate, mate: row}
    return pairs


def _late(fit: Fit, trial: int, frames: int, length: int) -> Tensor:
    """Return the responses of a trial `[T,N]`, `frames` later, zero outside the trial."""
    first, end = fit.line.spans[trial]
    out = torch.zeros(length, fit.line.responses.shape[1])
    low, high = max(first + frames, first), min(end + frames, end)
    if low < high:
        out[low - first - frames : high - first - frames] = fit.line.responses[low:high]
    return out
