"""Weighted Pearson correlation, used for movies and responses alike."""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT = 1e-12
"""A series counts as constant if its standard deviation is below this fraction of its root mean square."""


def pearson(first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return Pearson's r `[…]` over the last dimension of two tensors `[…,M]`, in double precision.

    `weight` is broadcast to `[…,M]`; entries of weight zero are ignored, even if they are not finite. r is NaN if a
    series is constant, not finite, or has fewer than two entries of positive weight.

    >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 7.0])).item().__round__(4)
    0.9934
    """
    first, second = first.double(), second.double()
    if weight is None:
        return _unweighted(first, second)
    weight = weight.to(first).expand_as(first)
    total = weight.sum(-1, keepdim=True)
    x, power_x = _centred(first, weight, total)
    y, power_y = _centred(second, weight, total)
    scale = ((weight * x * x).sum(-1) * (weight * y * y).sum(-1)).sqrt()
    correlation = ((weight * x * y).sum(-1) / scale).clamp(-1.0, 1.0)
    varies = _varies(x, weight, power_x) & _varies(y, weight, power_y) & ((weight > 0).sum(-1) > 1)
    return torch.where(varies, correlation, torch.nan)


def mean_defined(values: Tensor, dim: int | tuple[int, ...] = -1) -> Tensor:
    """Return the mean of the values that are not NaN; NaN if all are.

    >>> mean_defined(torch.tensor([1.0, float("nan"), 3.0]))
    tensor(2.)
    """
    return torch.nanmean(values, dim)


def _unweighted(first: Tensor, second: Tensor) -> Tensor:
    """Return `pearson` with equal weights, without storing elementwise products the size of a movie."""
    count, means = first.shape[-1], [series.mean(-1, keepdim=True) for series in (first, second)]
    x, y = first - means[0], second - means[1]
    squares = [torch.linalg.vecdot(series, series) for series in (x, y)]
    correlation = (torch.linalg.vecdot(x, y) / (squares[0] * squares[1]).sqrt()).clamp(-1.0, 1.0)
    powers = [square + count * mean[..., 0].square() for square, mean in zip(squares, means, strict=True)]
    varies = (squares[0] > CONSTANT**2 * powers[0]) & (squares[1] > CONSTANT**2 * powers[1])
    return torch.where(varies & (count > 1), correlation, torch.nan)


def _centred(values: Tensor, weight: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    values = torch.where(weight > 0, values, torch.zeros_like(values))
    return values - (weight * values).sum(-1, keepdim=True) / total, (weight * values.square()).sum(-1)


def _varies(centred: Tensor, weight: Tensor, power: Tensor) -> Tensor:
    return (weight * centred.square()).sum(-1) > CONSTANT**2 * power
