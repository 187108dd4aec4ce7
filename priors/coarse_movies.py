"""Coarse movies: averages over 4 frames and 2×2 pixels, and interpolation back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

POOLED_FRAMES, POOLED_PIXELS = 4, 2
"""Frames, and pixels per side, that are averaged."""


def averaged(frames: int) -> int:
    """Return the number of values that an average holds, in a movie of `frames` frames."""
    return min(POOLED_FRAMES, frames) * POOLED_PIXELS**2


def frames_of(frames: int) -> Tensor:
    """Return for each coarse frame a frame in the middle of those that it averages."""
    return (_starts(frames) + min(POOLED_FRAMES, frames) // 2).clamp_max(frames - 1)


def pooled(movie: Tensor) -> Tensor:
    """Return movies `[B,1,T,H,W]` averaged over 4 frames and 2×2 pixels.

    Where T is no multiple of 4, the last average overlaps with the one before, so that all hold the same noise.
    """
    frames = movie.shape[2]
    length = min(POOLED_FRAMES, frames)
    places = _starts(frames)[:, None] + torch.arange(length)
    slower = movie[:, :, places.to(movie.device)].mean(3)
    images = rearrange(slower, "b c t h w -> (b t) c h w")
    coarse = functional.avg_pool2d(images, POOLED_PIXELS, ceil_mode=True, count_include_pad=False)
    return rearrange(coarse, "(b t) c h w -> b c t h w", b=len(movie))


def unpooled(coarse: Tensor, shape: Sequence[int]) -> Tensor:
    """Return coarse movies `[B,1,n,h,w]` interpolated linearly to a shape `[…,T,H,W]`."""
    frames, height, width = shape[-3:]
    images = rearrange(coarse, "b c t h w -> (b t) c h w")
    wide = functional.interpolate(
        images, (2 * images.shape[-2], 2 * images.shape[-1]), mode="bilinear", align_corners=False
    )[..., :height, :width]
    series = rearrange(wide, "(b t) c h w -> b c t h w", b=len(coarse))
    return torch.einsum("bcnhw,tn->bcthw", series, _interpolation(frames).to(series))


def _starts(frames: int) -> Tensor:
    """Return the first frame of each coarse frame."""
    first = torch.arange(0, frames, POOLED_FRAMES)
    return first.clamp_max(max(frames - POOLED_FRAMES, 0))


def _interpolation(frames: int) -> Tensor:
    """Return the weights `[T,n]` of linear interpolation between the middles of coarse frames; constant beyond them."""
    middles = _starts(frames) + (min(POOLED_FRAMES, frames) - 1) / 2
    if len(middles) == 1:
        return torch.ones(frames, 1)
    place = torch.arange(frames, dtype=torch.float32)
    after = torch.searchsorted(middles, place).clamp(1, len(middles) - 1)
    share = ((place - middles[after - 1]) / (middles[after] - middles[after - 1])).clamp(0, 1)
    rows, weights = torch.arange(frames), torch.zeros(frames, len(middles))
    weights[rows, after - 1], weights[rows, after] = 1 - share, share
    return weights
