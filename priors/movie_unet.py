"""Network of the movie prior: a space–time U-Net conditioned on noise level and text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Count, Depth, Levels

CHANNELS_LAST = torch.channels_last
FREQUENCIES = 16
"""Sine–cosine pairs that encode the noise level."""


@dataclass(frozen=True)
class MovieUnetSettings:
    """Sizes of the U-Net: cells of `patch`×`patch` pixels from `inputs` views, `widths` channels per level.

    Each level has `depth` blocks before and after the coarser levels, and halves the resolution of the previous one in
    space and time. `text` is the length of a caption embedding; `steering` is the length of the joint embedding of
    noise level and text.
    """

    widths: Annotated[tuple[Count, ...], Levels] = (32, 64, 128, 192)
    depth: Depth = 2
    patch: Count = 2
    inputs: Count = 2
    text: Count = 384
    steering: Count = 192

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.depth, self.patch, self.inputs, self.text, self.steering) < 1:
            raise InputError(f"movie U-Net: expected sizes of at least 1, got {self}; correct it")

    @property
    def span(self) -> int:
        """Temporal downsampling factor of the coarsest level."""
        return int(2 ** (len(self.widths) - 1))


class SteeredBlock(nn.Module):
    """x + time(σ(space(σ(a·x + b)))) on `[B,T,C,h,w]`, over 3×3 cells and 3 frames; a, b come from the steering.

    Feature-wise linear modulation (Perez et al. 2018). There is no normalisation over a clip, so the temporal receptive
    field stays local. The last layer is initialised to zero, the block thus to the identity.
    """

    def __init__(self, channels: int, steering: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Conv1d(channels, channels, 3, padding=1)
        self.steer = nn.Linear(steering, 2 * channels)
        for parameter in self.time.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, steering: Tensor) -> Tensor:
        """Return features of the same shape; `steering` is `[B,1,E]`, or `[B,T,E]` if it varies over time."""
        scale, shift = self.steer(steering).to(x.dtype)[..., None, None].chunk(2, 2)
        steered = torch.addcmul(x + shift, x, scale)
        inner = functional.silu(self.space(rearrange(functional.silu(steered), "b t c h w -> (b t) c h w")))
        # Channels are last in memory: in two steps, neither this nor its gradient copies into another order.
        by_cell = rearrange(rearrange(inner, "bt c h w -> bt h w c"), "(b t) h w c -> b t (h w) c", b=len(x))
        series = rearrange(by_cell, "b t cell c -> b c t cell")
        mixed = functional.conv2d(series, self.time.weight[..., None], self.time.bias, padding=(1, 0))
        return x + rearrange(mixed, "b c t (h w) -> b t c h w", h=x.shape[3])


class MovieUnet(nn.Module):
    """Movies `[B,K,T,H,W]` in K views, ln σ / 4 `[B]` and optional texts `[B,D]` → one movie `[B,1,T,H,W]`.

    Texts may vary over time, `[B,T,D]`. A row of NaN means no text.
    """

    def __init__(self, settings: MovieUnetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths, cells = settings.widths, settings.patch**2
        self.noise = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, settings.steering), nn.SiLU(), nn.Linear(settings.steering, settings.steering)
        )
        self.text = nn.Linear(settings.text, settings.steering)
        self.no_text = nn.Parameter(torch.zeros(settings.text))
        self.enter = nn.Conv2d(settings.inputs * cells, widths[0], 3, padding=1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, padding=1) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.before = nn.ModuleList(self._blocks(width) for width in widths)
        self.after = nn.ModuleList(self._blocks(width) for width in widths[:-1])
        self.leave = nn.Conv2d(widths[0], cells, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def _blocks(self, width: int) -> nn.ModuleList:
        return nn.ModuleList(SteeredBlock(width, self.settings.steering) for _ in range(self.settings.depth))

    def forward(self, movie: Tensor, level: Tensor, text: Tensor | None) -> Tensor:
        """Return the movie."""
        _, _, frames, height, width = movie.shape
        patch, span = self.settings.patch, self.settings.span
        flat = rearrange(movie, "b k t h w -> (b t) k h w")
        padded = functional.pad(flat, (0, -width % patch, 0, -height % patch), mode="replicate")
        series = rearrange(padded, "(b t) k h w -> b t k h w", t=frames)
        longer = torch.cat([series, series[:, -1:].expand(-1, -frames % span, -1, -1, -1)], 1)
        cells = functional.pixel_unshuffle(rearrange(longer, "b t k h w -> (b t) k h w"), patch)
        entered = self.enter(cells.contiguous(memory_format=CHANNELS_LAST))
        steering = _extended(self._steering(level, text), longer.shape[1])
        features = self._network(rearrange(entered, "(b t) c h w -> b t c h w", b=len(movie)), steering, 0)
        left = self.leave(rearrange(functional.silu(features), "b t c h w -> (b t) c h w"))
        shown = rearrange(functional.pixel_shuffle(left, patch), "(b t) 1 h w -> b 1 t h w", b=len(movie))
        return shown[:, :, :frames, :height, :width]

    def _steering(self, level: Tensor, text: Tensor | None) -> Tensor:
        noise = self.noise(noise_angles(level))[:, None]
        embedding = self.no_text.expand(len(level), 1, -1)
        if text is not None:
            series = text if text.dim() == 3 else text[:, None]
            embedding = torch.where(series.isnan(), self.no_text, series)
        found: Tensor = functional.silu(noise + self.text(embedding))
        return found

    def _network(self, x: Tensor, steering: Tensor, level: int) -> Tensor:
        x = _apply_blocks(self.before[level], x, steering)
        if level == len(self.down):
            return x
        shorter = rearrange(x, "b (t pair) c h w -> b t pair c h w", pair=2).mean(2)
        images = rearrange(shorter, "b t c h w -> (b t) c h w")
        coarse = functional.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
        below = self.down[level](coarse)
        constant = steering.shape[1] == 1
        slower = steering if constant else reduce(steering, "b (t pair) e -> b t e", "mean", pair=2)
        lower = self._network(rearrange(below, "(b t) c h w -> b t c h w", b=len(x)), slower, level + 1)
        finer = self.up[level](rearrange(lower, "b t c h w -> (b t) c h w"))
        wide = functional.interpolate(finer, x.shape[-2:], mode="bilinear")
        series = rearrange(wide, "(b t) c h w -> b t c h w", b=len(x))
        return _apply_blocks(self.after[level], x + upsampled_in_time(series), steering)


def noise_angles(level: Tensor) -> Tensor:
    """Return sines and cosines `[B,2·FREQUENCIES]` that encode noise levels ln σ / 4 `[B]`."""
    rates = torch.exp(torch.linspace(0, math.log(64.0), FREQUENCIES, device=level.device)) * math.pi / 4
    angles = level.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _apply_blocks(blocks: nn.Module, x: Tensor, steering: Tensor) -> Tensor:
    for block in blocks.children():
        x = block(x, steering)
    return x


def _extended(steering: Tensor, frames: int) -> Tensor:
    """Return a time-varying steering padded to `frames` by repeating its last frame."""
    if steering.shape[1] == 1:
        return steering
    return torch.cat([steering, steering[:, -1:].expand(-1, frames - steering.shape[1], -1)], 1)


def upsampled_in_time(series: Tensor) -> Tensor:
    """Return `[B,2T,…]`: series upsampled by two in time by linear interpolation, at ±1/4 frame."""
    before = torch.cat([series[:, :1], series[:, :-1]], 1)
    after = torch.cat([series[:, 1:], series[:, -1:]], 1)
    pair = [torch.lerp(series, before, 0.25), torch.lerp(series, after, 0.25)]
    return rearrange(torch.stack(pair, 2), "b t pair c h w -> b (t pair) c h w")
