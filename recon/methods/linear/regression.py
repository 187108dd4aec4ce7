"""Ridge regression, in one place: from moments accumulated over trials, and from samples by eigendecomposition.

From moments the design matrix is never in memory, and a Cholesky factor per penalty is the cheapest for few penalties.
With fewer frames than features the dual form (`recon.methods.linear.dual`) gives the same from a smaller matrix.
An eigendecomposition, several times the cost of a factor, serves any number of penalties, or one per target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.linear.dual import Dual, FeatureMatrix, Features, dual_ridge
from recon.methods.linear.memory import refuse_more

BLOCKS = 8
"""Blocks per axis of a symmetric product; those below the diagonal are copied."""


@dataclass(frozen=True)
class Moments:
    """Sums over frames: features × features, features × pixels, pixels, features, and the number of frames."""

    gram: Tensor
    cross: Tensor
    targets: Tensor
    features: Tensor
    count: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.targets + other.targets,
            self.features + other.features,
            self.count + other.count,
        )

    def __sub__(self, other: Moments) -> Moments:
        return self + Moments(-other.gram, -other.cross, -other.targets, -other.features, -other.count)

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Moments:
        """Return the moments of features `[S,F]` and targets `[S,P]`."""
        return cls(x.T @ x, x.T @ y, y.sum(0), x.sum(0), len(x))

    def about(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of products features × features and features × targets, centred at the means x and y."""
        gram = (
            self.gram - torch.outer(x, self.features) - torch.outer(self.features, x) + self.count * torch.outer(x, x)
        )
        cross = self.cross - torch.outer(x, self.targets) - torch.outer(self.features, y)
        return gram, cross + self.count * torch.outer(x, y)

    def centred(self) -> tuple[Tensor, Tensor]:
        """Return the covariances features × features and features × pixels."""
        gram = (self.gram / self.count).addr_(self.features, self.features, alpha=-1 / self.count**2)
        cross = (self.cross / self.count).addr_(self.features, self.targets, alpha=-1 / self.count**2)
        return gram, cross

    def intercept(self, weights: Tensor) -> Tensor:
        """Return the intercept `[out]` of weights `[features,out]` for the first `out` pixels."""
        return self.targets[: weights.shape[1]] / self.count - (self.features / self.count) @ weights


Pair = tuple[Tensor | Features, Tensor]
"""Features and targets of a trial."""


def regressed(
    pairs: Iterable[Pair],
    penalties: tuple[float, ...],
    *,
    folds: int,
    bands: tuple[tuple[float, ...], ...] = (),
) -> dict[str, Tensor]:
    """Return `weights`, `mean`, the selected `penalty` and the `errors` of all penalties, by cross-validated ridge.

    `pairs` are the (x, y) of each trial. With `bands` the penalty is a vector, one entry per band of a neuron's
    consecutive features. With fewer frames than features in all trials the dual form computes the same from matrices
    frames × frames; otherwise matrices features × features are accumulated trial by trial.
    """
    tried = [penalty * torch.tensor(band) for band in bands or ((1.0,),) for penalty in penalties]
    held, rest = _few(pairs)
    if rest is None and len(held) > 1:
        return dual_ridge(_dual(held, folds, bumps=len(tried[0])), tried, mixing(held[0][1].shape[1]))
    if held:
        refuse_more(primal_bytes(held[0][0].shape[1], held[0][1].shape[1], folds=folds))
    parts = fold_moments(chain(held, rest or ()), folds)
    errors = cross_validate(parts, tried)
    penalty = tried[int(errors.argmin())]
    total = sum_of(parts)
    weights, mean = solve(total, penalty, out=total.cross.shape[1])
    return {"weights": weights, "mean": mean, "errors": errors, "penalty": penalty.squeeze(0)}


def primal_bytes(features: int, pixels: int, *, folds: int) -> int:
    """Return the peak memory of the primal form in bytes: float32 moments per fold, their sum, and two while solving.

    >>> round(primal_bytes(100000, 2304, folds=3) / 1e9)
    246
    """
    return 4 * (folds + 3) * features * (features + pixels)


def _few(pairs: Iterable[Pair]) -> tuple[list[Pair], Iterator[Pair] | None]:
    """Return all pairs and None if they have fewer frames than features, else the first ones and the rest."""
    held, frames, following = list[Pair](), 0, iter(pairs)
    for pair in following:
        held.append(pair)
        frames += pair[0].shape[0]
        if frames >= pair[0].shape[1]:
            return held, following
    return held, None


def _dual(held: Sequence[Pair], folds: int, *, bumps: int) -> Dual:
    numbers = torch.cat([torch.full((len(y),), index % folds) for index, (_, y) in enumerate(held)])
    trials = [FeatureMatrix(x) if isinstance(x, Tensor) else x for x, _ in held]
    return Dual(trials, torch.cat([y for _, y in held]), numbers, bumps)


def _whole(x: Tensor | Features) -> Tensor:
    return x if isinstance(x, Tensor) else x.columns(0, x.shape[1])


def fold_moments(pairs: Iterable[Pair], folds: int) -> list[Moments]:
    """Return the moments of each fold; trials are assigned to folds in turn and multiplied in blocks of eight."""
    sums: list[_Sums | None] = [None] * folds
    waiting: list[list[Pair]] = [[] for _ in sums]
    for index, pair in enumerate(pairs):
        fold = index % folds
        waiting[fold].append(pair)
        if len(waiting[fold]) == 8:
            sums[fold] = _added(sums[fold], waiting[fold])
            waiting[fold] = []
    merged = [_added(done, rest) for done, rest in zip(sums, waiting, strict=True) if rest or done is not None]
    if len(merged) < 2:
        raise InputError(f"ridge: expected at least 2 training trials, got {len(merged)}; cut more trials")
    return [done.moments() for done in merged]


class _Sums:
    """Moments accumulated in place; of the symmetric Gram matrix only blocks on and above the diagonal are computed."""

    def __init__(self, features: int, targets: int, dtype: torch.dtype) -> None:
        self.gram, self.cross = (torch.zeros(features, width, dtype=dtype) for width in (features, targets))
        self.targets, self.features = (torch.zeros(width, dtype=dtype) for width in (targets, features))
        self.count = 0
        self.edges = [features * block // BLOCKS for block in range(BLOCKS + 1)]

    def add(self, features: Tensor, targets: Tensor) -> None:
        for first, end in pairwise(self.edges):
            self.gram[first:end, first:].addmm_(features[:, first:end].T, features[:, first:])
        self.cross.addmm_(features.T, targets)
        self.targets += targets.sum(0)
        self.features += features.sum(0)
        self.count += len(features)

    def moments(self) -> Moments:
        for first, end in pairwise(self.edges):
            self.gram[end:, first:end] = self.gram[first:end, end:].T
        return Moments(self.gram, self.cross, self.targets, self.features, self.count)


def _added(done: _Sums | None, pairs: list[Pair]) -> _Sums:
    if pairs:
        features = torch.cat([_whole(x) for x, _ in pairs])
        targets = torch.cat([y for _, y in pairs])
        done = done or _Sums(features.shape[1], targets.shape[1], features.dtype)
        done.add(features, targets)
    if done is None:
        raise InputError("ridge: expected training trials in every fold, got none; use fewer folds")
    return done


def sum_of(folds: Sequence[Moments]) -> Moments:
    """Return the moments of all folds together."""
    total = folds[0]
    for fold in folds[1:]:
        total = total + fold
    return total


def solve(moments: Moments, penalty: float | Tensor, *, out: int) -> tuple[Tensor, Tensor]:
    """Return weights `[features, out]` for the first `out` pixels, and their intercept `[out]`."""
    gram, cross = moments.centred()
    weights = _weights(gram, cross[:, :out], penalty)
    return weights, moments.intercept(weights)


def _weights(gram: Tensor, cross: Tensor, penalty: float | Tensor) -> Tensor:
    ridge, bands = gram.clone(), torch.as_tensor(penalty).reshape(-1)
    ridge.diagonal().add_(bands.repeat(len(gram) // len(bands)))
    return solved(ridge, cross)


def solved(gram: Tensor, cross: Tensor) -> Tensor:
    """Return the weights `[features,out]` of the normal equations; `gram` is positive definite."""
    try:
        return torch.cholesky_solve(cross, torch.linalg.cholesky(gram))
    except torch.linalg.LinAlgError as error:
        raise InputError(
            "penalties: expected penalties that leave one solution, got a singular matrix of features; raise the lowest"
        ) from error


def cross_validate(folds: list[Moments], penalties: Sequence[float | Tensor], *, mixtures: int = 64) -> Tensor:
    """Return the squared error per penalty, summed over held-out folds, on `mixtures` random mixtures of pixels.

    Random-sign mixtures of all pixels (fixed seed) need the solution of 64 right-hand sides instead of thousands.
    """
    targets = folds[0].cross.shape[1]
    signs = mixing(targets, mixtures).to(folds[0].cross)
    mixed = [replace(f, cross=f.cross @ signs, targets=f.targets @ signs) for f in folds]
    total = sum_of(mixed)
    errors = torch.zeros(len(penalties))
    for fold in mixed:
        learning, (gram, cross) = (total - fold).centred(), fold.centred()
        for index, penalty in enumerate(penalties):
            weights = _weights(*learning, penalty)
            errors[index] += float(((gram @ weights) * weights).sum() - 2 * (cross * weights).sum())
    return errors


def mixing(targets: int, mixtures: int = 64) -> Tensor:
    """Return the random signs `[targets,mixtures]` with which cross-validation mixes pixels; always the same."""
    return torch.randint(0, 2, (targets, mixtures), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0


@dataclass(frozen=True)
class Decomposed:
    """Eigendecomposition of centred features: of XᵀX `[D,D]`, or of XXᵀ with fewer samples than features.

    Weights are `basis @ shrunk(projected, values, penalty)`.
    """

    mean: Tensor
    values: Tensor
    basis: Tensor
    """Maps coefficients to weights `[D,R]`."""
    left: Tensor
    """Maps samples to coefficients `[R,S]`."""

    @classmethod
    def of(cls, x: Tensor) -> Decomposed:
        """Return the decomposition of features `[S,D]`, computed in double precision."""
        mean = x.mean(0)
        centred = (x - mean).double()
        primal = x.shape[1] <= len(x)
        values, vectors = torch.linalg.eigh(centred.T @ centred if primal else centred @ centred.T)
        basis = vectors if primal else centred.T @ vectors
        left = (centred @ vectors).T if primal else vectors.T
        return cls(mean, values.clamp_min(0), basis.to(x), left.to(x))

    def projected(self, y: Tensor) -> Tensor:
        """Return the coefficients `[R,n]` of centred responses `[S,n]`, before penalties."""
        return self.left @ y

    def seen(self, x: Tensor) -> Tensor:
        """Return features `[S,D]` in the eigenbasis `[S,R]`."""
        return (x - self.mean) @ self.basis


def shrunk(projected: Tensor, values: Tensor, penalty: float | Tensor) -> Tensor:
    """Return coefficients `[R,n]` in the eigenbasis, shrunk by one penalty or by one for each target `[n]`."""
    return projected / (values[:, None] + penalty).to(projected)
