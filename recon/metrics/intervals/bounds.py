"""Bounds of pixels, and their scores: coverage and half-width."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Bounds(NamedTuple):
    """Lower and upper bound per pixel, `[C,T,H,W]` or `[B,C,T,H,W]`, in [0,1]."""

    lower: Tensor
    upper: Tensor

    @property
    def half_width(self) -> Tensor:
        """Half the distance between the bounds."""
        return (self.upper - self.lower) / 2


class Declared(NamedTuple):
    """Bounds at 90 % and standard deviation `[B,C,T,H,W]` of reconstructed clips."""

    bounds: Bounds
    deviation: Tensor


def bounds_coverage(lower: Tensor, upper: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the fraction `[B]` of pixels whose true value is within the bounds, all `[B,C,T,H,W]`.

    Only pixels in `pixel_mask` `[H,W]` count.
    """
    return _mean(((truth >= lower) & (truth <= upper)).float(), pixel_mask)


def bounds_half_width(lower: Tensor, upper: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the mean half-width `[B]` of bounds `[B,C,T,H,W]`; the true movie does not count.

    Only pixels in `pixel_mask` `[H,W]` count.
    """
    return _mean((upper - lower) / 2, pixel_mask)


def _mean(values: Tensor, pixel_mask: Tensor | None) -> Tensor:
    return values.flatten(1).mean(1) if pixel_mask is None else values[..., pixel_mask].flatten(1).mean(1)
