"""Ridge regression in its dual form, for more features than frames: W = Xᵀ (XXᵀ + λS·I)⁻¹ Y.

The kernel XXᵀ is frames × frames, whereas the primal form keeps features × features: for 20,000 neurons and 5 bumps of
lags that is 40 GB, three times over. Features are computed in blocks of columns, so that the design matrix is never in
memory either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Protocol

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.linear.memory import refuse_more

COLUMNS = 2560
"""Least number of features per block."""


class Features(Protocol):
    """Features `[T,F]` of a trial, as a whole or by columns: a matrix, or lagged responses."""

    @property
    def shape(self) -> Sequence[int]:
        """Frames and features."""
        ...

    @property
    def unit(self) -> int:
        """Features that belong together; blocks of columns are multiples of it."""
        ...

    def columns(self, first: int, end: int) -> Tensor:
        """Return the features from `first` to before `end` `[T,end-first]`."""
        ...


@dataclass(frozen=True)
class FeatureMatrix:
    """Features that are in memory `[T,F]`."""

    values: Tensor

    @property
    def shape(self) -> Sequence[int]:
        """Frames and features."""
        return self.values.shape

    @property
    def unit(self) -> int:
        """One: any columns can be taken."""
        return 1

    def columns(self, first: int, end: int) -> Tensor:
        """Return some columns."""
        return self.values[:, first:end]


@dataclass(frozen=True)
class Dual:
    """Trials of one regression: features of each, targets `[S,P]` of all, and the fold `[S]` of each frame.

    `bumps`: features per neuron, which may have a penalty each.
    """

    trials: Sequence[Features]
    targets: Tensor
    folds: Tensor
    bumps: int = 1

    def columns(self) -> Iterator[tuple[int, Tensor]]:
        """Yield blocks of features `[S,f]` of whole neurons, each with the place of its first column."""
        width, unit = self.trials[0].shape[1], lcm(self.trials[0].unit, self.bumps)
        step = -(-COLUMNS // unit) * unit
        for first in range(0, width, step):
            yield first, torch.cat([trial.columns(first, min(first + step, width)) for trial in self.trials])

    def kernels(self) -> Tensor:
        """Return XXᵀ `[bumps,S,S]` of each bump."""
        frames = len(self.targets)
        total = torch.zeros(self.bumps, frames, frames, dtype=self.targets.dtype)
        for _, block in self.columns():
            for bump in range(self.bumps):
                part = block[:, bump :: self.bumps]
                total[bump].addmm_(part, part.T)
        return total

    def weights(self, coefficients: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights `[F,P]` and intercept `[P]` from the coefficients `[S,P]` of the frames."""
        scale, mean = 1 / penalty.to(coefficients), self.targets.mean(0)
        weights = coefficients.new_empty(self.trials[0].shape[1], coefficients.shape[1])
        for first, block in self.columns():
            part = weights[first : first + block.shape[1]]
            torch.mm(block.T, coefficients, out=part)
            part *= scale.repeat(len(part) // self.bumps)[:, None]
            mean = mean - block.mean(0) @ part
        return weights, mean


def dual_ridge(dual: Dual, tried: Sequence[Tensor], signs: Tensor) -> dict[str, Tensor]:
    """Return `weights`, `mean`, `errors` and the best `penalty`, as the primal form does.

    `tried` are penalties, each with one entry or one per bump; `signs` `[P,K]` are the mixtures of pixels that the
    cross-validation predicts.
    """
    _refuse_zero(tried)
    frames, pixels = dual.targets.shape
    refuse_more(dual_bytes(frames, dual.trials[0].shape[1], pixels, bumps=dual.bumps))
    kernels = dual.kernels()
    errors = torch.tensor([_error(dual, _weighted(kernels, penalty), signs) for penalty in tried])
    best = tried[int(errors.argmin())]
    coefficients = _coefficients(_weighted(kernels, best), dual.targets)
    weights, mean = dual.weights(coefficients, best.expand(dual.bumps))
    return {"weights": weights, "mean": mean, "errors": errors, "penalty": best.squeeze(0)}


def dual_bytes(frames: int, features: int, pixels: int, *, bumps: int = 1) -> int:
    """Return the peak memory of the dual form in bytes, without the recorded responses: float32.

    Kernels, three matrices of their size while one is solved, a block of features, targets twice, and the weights, in
    memory and once more while they are written.

    >>> round(dual_bytes(18000, 100000, 2304) / 1e9, 1)
    7.5
    """
    return 4 * ((bumps + 3) * frames**2 + frames * COLUMNS + 2 * frames * pixels + 2 * features * pixels)


def _weighted(kernels: Tensor, penalty: Tensor) -> Tensor:
    """Return the kernel whose ridge is the identity: each bump's divided by its penalty."""
    weighted: Tensor = torch.tensordot(1 / penalty.to(kernels).expand(len(kernels)), kernels, dims=1)
    return weighted


def _coefficients(kernel: Tensor, targets: Tensor) -> Tensor:
    """Return (HKH + S·I)⁻¹ HY `[S,P]`, with H the centring."""
    centred = kernel - kernel.mean(0)
    centred -= centred.mean(1, keepdim=True)
    centred.diagonal().add_(len(kernel))
    return torch.cholesky_solve(targets - targets.mean(0), torch.linalg.cholesky(centred))


def _error(dual: Dual, kernel: Tensor, signs: Tensor) -> float:
    """Return the squared error over held-out folds, less the variance of the targets, which no penalty changes."""
    mixed, total = dual.targets @ signs.to(dual.targets), 0.0
    for fold in range(int(dual.folds.max()) + 1):
        held = dual.folds == fold
        learnt = _coefficients(kernel[~held][:, ~held], mixed[~held])
        predicted = kernel[held][:, ~held] @ learnt
        predicted, shown = predicted - predicted.mean(0), mixed[held] - mixed[held].mean(0)
        total += float((predicted.square().sum() - 2 * (predicted * shown).sum()) / int(held.sum()))
    return total


def _refuse_zero(tried: Sequence[Tensor]) -> None:
    if min(float(penalty.min()) for penalty in tried) <= 0:
        raise InputError(
            "penalties: expected penalties above 0 for more features than training frames, got 0; raise it, or use "
            "fewer neurons or bases"
        )
