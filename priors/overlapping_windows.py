"""Long movies in overlapping, cross-faded windows, so that window borders are invisible."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recon.errors import InputError


def by_windows(function: Callable[[Tensor, slice], Tensor], movie: Tensor, window: int) -> Tensor:
    """Return function(movie, its frames) `[B,C,T,H,W]` on windows of `window` frames that overlap by half (0: whole).

    Overlapping results are averaged with weights that fall linearly towards a window's ends and sum to 1, so that
    window borders add no abrupt change.

    >>> movie = torch.rand(1, 1, 50, 2, 2)
    >>> bool(torch.allclose(by_windows(lambda part, frames: 2 * part, movie, 16), 2 * movie, atol=1e-6))
    True
    """
    frames = movie.shape[2]
    if not window or frames <= window:
        return function(movie, slice(0, frames))
    if window < 2:
        raise InputError(f"window: expected 0 or at least 2 frames, got {window}; raise it")
    starts = sorted({*range(0, frames - window, window // 2), frames - window})
    ramp = torch.minimum(torch.arange(1.0, window + 1), torch.arange(float(window), 0, -1)).to(movie)[:, None, None]
    total, weight = torch.zeros_like(movie), movie.new_zeros(frames, 1, 1)
    for start in starts:
        span = slice(start, start + window)
        total[:, :, span] = total[:, :, span] + ramp * function(movie[:, :, span], span)
        weight[span] += ramp
    return total / weight
