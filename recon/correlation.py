"""Pearson correlation of series, of weighted series and from sums of products, with one rule for constant signals.

It is computed in double precision, on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT = 4 * torch.finfo(torch.float32).eps
"""A series counts as constant if its standard deviation is at most this fraction of its root mean square.

Movies, responses and rates are float32, so a constant one that went through arithmetic still jitters by a few units in
the last place, also after conversion to float64. Four units are 1/30 of a step of a 16-bit camera.
"""

WITHOUT = {"mps"}
"""Kinds of devices without float64: the CPU computes in double precision for them."""


def double_device(device: torch.device) -> torch.device:
    """Return where a device's numbers are computed in double precision: there, or on the CPU."""
    return torch.device("cpu") if device.type in WITHOUT else device


def doubled(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on its device if that has it.

    >>> doubled(torch.ones(2)).dtype
    torch.float64
    """
    return tensor.to(double_device(tensor.device)).double()


def back(result: Tensor, device: torch.device) -> Tensor:
    """Return a result in double precision on a device; in float32 where that has no other."""
    return result.float().to(device) if device.type in WITHOUT else result.to(device)


def pearson(first: Tensor, second: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return Pearson's r `[…]` over the last dimension of two tensors `[…,M]`, in double precision.

    `weight` is broadcast to `[…,M]`; entries of weight zero are ignored, even if they are not finite. r is NaN if a
    series is constant, not finite, or has fewer than two entries of positive weight.

    >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 7.0])).item().__round__(4)
    0.9934
    """
    device, first, second = first.device, doubled(first), doubled(second)
    if weight is None:
        return back(_unweighted(first, second), device)
    weight = weight.to(first).expand_as(first)
    total = weight.sum(-1, keepdim=True)
    x, power_x = _centred(first, weight, total)
    y, power_y = _centred(second, weight, total)
    squares = (weight * x * x).sum(-1), (weight * y * y).sum(-1)
    correlation = normalised((weight * x * y).sum(-1), squares, (power_x, power_y))
    return back(torch.where((weight > 0).sum(-1) > 1, correlation, torch.nan), device)


def pearson_of_sums(sums: Tensor) -> Tensor:
    """Return Pearson's r `[…]` from sums `[6,…]` over samples, in double precision: n, Σx, Σy, Σx², Σy², Σxy.

    >>> x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 7.0])
    >>> terms = (torch.ones(3), x, y, x**2, y**2, x * y)
    >>> pearson_of_sums(torch.stack([term.sum() for term in terms]).double()).item().__round__(4)
    0.9934
    """
    count, x, y, xx, yy, xy = sums
    return normalised(xy - x * y / count, (xx - x**2 / count, yy - y**2 / count), (xx, yy))


def normalised(covariance: Tensor, variances: tuple[Tensor, Tensor], powers: tuple[Tensor, Tensor]) -> Tensor:
    """Return covariance / √(variance·variance), NaN where a series is constant; `powers`: mean squares, not centred."""
    correlation = (covariance / (variances[0] * variances[1]).sqrt()).clamp(-1.0, 1.0)
    return torch.where(varies(variances[0], powers[0]) & varies(variances[1], powers[1]), correlation, torch.nan)


def varies(variance: Tensor, power: Tensor) -> Tensor:
    """Return whether series vary, from variance and mean square (or both as sums): bool, of the same shape."""
    return variance > CONSTANT**2 * power


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
    squares = torch.linalg.vecdot(x, x), torch.linalg.vecdot(y, y)
    powers = squares[0] + count * means[0][..., 0].square(), squares[1] + count * means[1][..., 0].square()
    correlation = normalised(torch.linalg.vecdot(x, y), squares, powers)
    return correlation if count > 1 else torch.full_like(correlation, torch.nan)


def _centred(values: Tensor, weight: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    values = torch.where(weight > 0, values, torch.zeros_like(values))
    return values - (weight * values).sum(-1, keepdim=True) / total, (weight * values.square()).sum(-1)
