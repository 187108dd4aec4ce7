"""Cross-validated score of a linear prediction of the responses from the stimulus, over all shifts between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from recon.analysis.clock.timeline import Timeline, spread
from recon.data.layout import Array
from recon.methods.linear.regression import Decomposed, shrunk

FOLDS = 5
PENALTIES = (0.03, 0.3, 3.0)
"""Ridge penalties, in mean squares of a feature summed over frames."""
KEPT = 160
"""Largest number of directions of the stimulus that predict."""
FITTED = 36_000
"""Frames in the fit: evenly spaced trials of longer recordings."""
AT_ONCE = 20
"""Neurons whose products are in memory together."""
OVERLAP = 0.5
"""Fraction of the longer trials that is compared at the largest shift."""
LONGER = 0.9
"""Quantile over trials of the length from which the largest shift is taken."""
COMPARED = 0.03
"""Least fraction of all frames that must be compared at a shift."""
BLOCKS = 6
"""Blocks of the session in which the lag is searched separately, where no single lag fits."""
MOST_CHANGE = 4.0
"""Largest change of the lag over the session in seconds that is searched there."""
LONGEST = 30.0
"""Largest shift in seconds, where the responses before and after a trial are known."""


@dataclass(frozen=True)
class ShiftScores:
    """Scores (Pearson's r over all neurons) `[2R+1]` at shifts from -R to R frames, and the penalty of the best.

    At shift s, the response at frame t + s is predicted from the stimulus at frame t.
    """

    scores: Array
    penalty: float

    @property
    def reach(self) -> int:
        """The largest shift R in frames."""
        return len(self.scores) // 2

    @property
    def best(self) -> int:
        """The shift of the highest score, in frames."""
        return int(np.argmax(self.scores)) - self.reach


@dataclass(frozen=True)
class Fit:
    """The trials in a fit, the fold of every trial, their features in the eigenbasis `[S,D]`, and its eigenvalues."""

    line: Timeline
    chosen: tuple[int, ...]
    folds: tuple[int, ...]
    rotated: Tensor
    values: Tensor

    @property
    def count(self) -> int:
        """Number of folds."""
        return max(self.folds) + 1

    def members(self, fold: int) -> list[int]:
        """Return the trials in the fit that are in a fold."""
        return [i for i in self.chosen if self.folds[i] == fold]


def prepared(line: Timeline) -> Fit:
    """Choose trials, assign repeats to one fold and neighbouring clips to others, and decompose the features."""
    count = max(int(len(line.trials) * FITTED / sum(line.lengths)), 2)
    chosen = spread(range(len(line.trials)), count)
    known = Decomposed.of(torch.cat([line.features[slice(*line.spans[i])] for i in chosen]))
    kept = min(int((known.values > 1e-4 * known.values.max()).sum()), KEPT)
    rotated = known.seen(line.features)[:, -kept:]
    return Fit(line, tuple(chosen), _folds(line, chosen), rotated.contiguous(), known.values[-kept:].float())


def _folds(line: Timeline, chosen: Sequence[int]) -> tuple[int, ...]:
    """Return the fold of every trial: repeats in one, and the clips of chosen trials spread over all folds."""
    clips = list(dict.fromkeys([*(line.clips[i] for i in chosen), *line.clips]))
    count = min(FOLDS, len({line.clips[i] for i in chosen}))
    return tuple(clips.index(clip) % count for clip in line.clips)


def reach_of(line: Timeline) -> int:
    """Return the largest shift in frames: half a trial, or up to 30 s where trials follow without a break."""
    around = float(np.quantile([high - low for low, high in line.runs], LONGER))
    return max(int(min(OVERLAP * around, LONGEST * line.rate)), 1)


def search(fit: Fit, reach: int, offsets: Array) -> ShiftScores:
    """Return the scores at all shifts; `offsets` `[trials]` are frames by which the responses of a trial are late."""
    shifts = 2 * reach + 1
    longest = max(fit.line.lengths[i] for i in fit.chosen)
    padded = next_fast_len(longest + 2 * reach, real=True)
    stimulus, activity, overlap = [], [], np.zeros(shifts)
    for fold in range(fit.count):
        members = fit.members(fold)
        stimulus.append(torch.fft.rfft(_stimuli(fit, members, longest), n=padded, dim=1).transpose(0, 1))
        windows, counts = _windows(fit.line, members, offsets[members], reach=reach, longest=longest)
        activity.append(torch.fft.rfft(windows, n=padded, dim=1).transpose(0, 1))
        overlap += counts.sum(0)
    penalties = [factor * float(fit.values.mean()) for factor in PENALTIES]
    whole, parts = (torch.zeros(shifts, len(fit.values)) for _ in range(2))
    for first in range(0, fit.line.responses.shape[1], AT_ONCE):
        products = torch.stack(
            [
                torch.fft.irfft(x.conj().transpose(1, 2) @ y[..., first : first + AT_ONCE], n=padded, dim=0)[:shifts]
                for x, y in zip(stimulus, activity, strict=True)
            ]
        )
        whole += products.sum(0).square().sum(2)
        parts += products.square().sum((0, 3))
    covariance, power = (
        torch.stack(found) for found in zip(*(_held_out(fit, whole, parts, one) for one in penalties), strict=True)
    )
    share = torch.from_numpy(np.maximum(overlap, 1) / max(overlap.max(), 1)).float()
    total = sum(float(fit.line.responses[slice(*fit.line.spans[i])].square().sum()) for i in fit.chosen)
    scores = covariance / (power.sqrt() * total**0.5 * share.sqrt()).clamp_min(1e-12)
    scores[:, share < COMPARED] = 0.0
    best = int(scores.max(1).values.argmax())
    return ShiftScores(scores[best].double().numpy(), penalties[best])


def drifting(fit: Fit, reach: int) -> tuple[float, float]:
    """Return lag and its change over the session in frames, from searches in consecutive blocks of the session.

    Where the lag changes by more than the width of its peak, no single shift fits all trials. The pair maximises the
    sum over blocks of the scores at lag + change · progress.
    """
    blocks = np.array_split(np.array(fit.chosen), min(BLOCKS, max(len(fit.chosen) // FOLDS, 2)))
    late = np.zeros(len(fit.line.trials), dtype=int)
    blocks = [one for one in blocks if len({fit.line.clips[i] for i in one}) > 1]
    if len(blocks) < 2:
        return 0.0, 0.0
    parts = [
        replace(
            fit,
            chosen=tuple(map(int, one)),
            folds=_folds(fit.line, one.tolist()),
            values=fit.values * len(one) / len(fit.chosen),
        )
        for one in blocks
    ]
    scores = np.stack([search(part, reach, late).scores for part in parts])
    middles = np.array([fit.line.progress[one].mean() for one in blocks])
    most = min(int(MOST_CHANGE * fit.line.rate), reach)
    changes = np.arange(-most, most + 1)
    padded = np.pad(scores, ((0, 0), (most, most)))
    total = np.zeros((len(changes), scores.shape[1]))
    for row, change in enumerate(changes):
        for part, middle in zip(padded, middles, strict=True):
            begin = most + int(np.rint(change * middle))
            total[row] += part[begin : begin + scores.shape[1]]
    change, place = np.unravel_index(int(total.argmax()), total.shape)
    return float(place - reach), float(changes[change])


def weights_at(fit: Fit, shift: int, penalty: float, offsets: Array) -> Tensor:
    """Return the weights `[K,D,N]` of each fold, learnt on the other folds, at one shift in frames."""
    products = []
    for fold in range(fit.count):
        members = fit.members(fold)
        longest = max((fit.line.lengths[i] for i in members), default=1)
        windows, _ = _windows(fit.line, members, offsets[members] + shift, reach=0, longest=longest)
        products.append(_stimuli(fit, members, longest).flatten(0, 1).T @ windows.flatten(0, 1))
    stacked = torch.stack(products)
    return shrunk(stacked.sum(0) - stacked, fit.values, penalty)


def trial_curves(fit: Fit, weights: Tensor, trials: Sequence[int], centres: Array, *, reach: int) -> Array:
    """Return the products of prediction and responses, summed per trial `[trials,2R+1]`, at shifts around `centres`.

    Sums over fewer frames at larger shifts are scaled to the number of frames at the centre.
    """
    curves = np.zeros((len(trials), 2 * reach + 1))
    for row, trial in enumerate(trials):
        first, end = fit.line.spans[trial]
        predicted = fit.rotated[first:end] @ weights[fit.folds[trial]]
        windows, counts = _windows(fit.line, [trial], centres[row : row + 1], reach=reach, longest=end - first)
        every = predicted @ windows[0].T
        shifted = every.as_strided((end - first, 2 * reach + 1), (every.stride(0) + 1, 1)).sum(0)
        curves[row] = shifted.double().numpy() / np.maximum(counts[0], 1) * counts[0, reach]
    return curves


def _held_out(fit: Fit, whole: Tensor, parts: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return covariance with the responses and power `[shifts]` of held-out predictions, summed over folds and neurons.

    The weights of a fold are W_k = (C − C_k) / (λ + penalty), from products C_k of stimulus and responses. Over folds,
    Σ (C − C_k)·C_k = C² − Σ C_k², and Σ (C − C_k)² = (K − 2) C² + Σ C_k². `whole` and `parts` `[shifts,D]` are C² and
    Σ C_k², summed over neurons.
    """
    covariance = shrunk((whole - parts).T, fit.values, penalty).sum(0)
    squares = shrunk(shrunk(((fit.count - 2) * whole + parts).T, fit.values, penalty), fit.values, penalty)
    return covariance, (squares * (fit.values / fit.count)[:, None]).sum(0)


def _stimuli(fit: Fit, members: Sequence[int], longest: int) -> Tensor:
    out = torch.zeros(len(members), longest, fit.rotated.shape[1])
    for row, trial in enumerate(members):
        first, end = fit.line.spans[trial]
        out[row, : end - first] = fit.rotated[first:end]
    return out


def _windows(line: Timeline, members: Sequence[int], late: Array, *, reach: int, longest: int) -> tuple[Tensor, Array]:
    """Return responses `[trials,longest+2R,N]` from R frames before to after each trial, `late` frames later.

    Responses outside the run are zero. Also returns how many frames of a trial have one at each shift `[trials,2R+1]`.
    """
    out = torch.zeros(len(members), longest + 2 * reach, line.responses.shape[1])
    counts = np.zeros((len(members), 2 * reach + 1))
    for row, trial in enumerate(members):
        (first, end), (low, high) = line.spans[trial], line.runs[trial]
        begin = first - reach + int(late[row])
        stop = end + reach + int(late[row])
        known = slice(max(low, begin), max(min(high, stop), max(low, begin)))
        out[row, known.start - begin : known.stop - begin] = line.responses[known]
        inside = np.zeros(stop - begin + 1)
        inside[1 + known.start - begin : 1 + known.stop - begin] = 1
        sums = np.cumsum(inside)
        counts[row] = sums[end - first :] - sums[: 2 * reach + 1]
    return out, counts
