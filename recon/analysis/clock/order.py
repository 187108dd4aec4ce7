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


def _among(fit: Fit, weights: Tensor, late: Array, members: list[int]) -> list[Misplaced]:
    scores, shown = fits_of_clips(fit, weights, late, members)
    if len(shown) < 3:
        return []
    column = {fit.line.clips[trial]: place for place, trial in enumerate(shown)}
    own = np.array([column[fit.line.clips[trial]] for trial in members])
    rows = np.arange(len(members))
    others = np.ones(scores.shape, dtype=bool)
    others[rows, own] = False
    unrelated = np.where(others, scores, np.nan)
    level = scores - np.nanmedian(unrelated, axis=1)[:, None]
    level = level - np.nanmedian(np.where(others, level, np.nan), axis=0)
    spread = MAD * float(np.median(np.abs(level[others])))
    limit = float(norm.isf(ERROR / others.sum())) * spread
    rivals = np.where(others, level, -np.inf)
    best = rivals.argmax(1)
    gain = rivals[rows, best] - level[rows, own]
    named = np.flatnonzero((gain > 2**0.5 * limit) & (rivals[rows, best] > limit)).tolist()
    pairs: dict[int, int] = {}
    for row in named:
        showing = np.flatnonzero(own == best[row])
        gains = level[showing, own[row]] - level[showing, best[row]]
        pairs[row] = int(showing[gains.argmax()])
        if gains.max() > 2**0.5 * MATE * spread:
            pairs.setdefault(pairs[row], row)
    trials = [fit.line.trials[i] for i in members]
    return [
        Misplaced(trials[row], trials[fits], float(scores[row, own[fits]]), float(scores[row, own[row]]))
        for row, fits in sorted(pairs.items())
    ]


def _late(fit: Fit, trial: int, frames: int, length: int) -> Tensor:
    """Return the responses of a trial `[T,N]`, `frames` later, zero outside the trial."""
    first, end = fit.line.spans[trial]
    out = torch.zeros(length, fit.line.responses.shape[1])
    low, high = max(first + frames, first), min(end + frames, end)
    if low < high:
        out[low - first - frames : high - first - frames] = fit.line.responses[low:high]
    return out
