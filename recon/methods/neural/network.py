"""Convolutional decoder: neurons placed on a grid, then a small U-Net over space and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.training.loop import draw_weights, fresh
from recon.errors import InputError
from recon.errors.ranges import Count, Depth, Levels
from recon.methods.linear.lags import Lags
from recon.methods.neural.read_in import GridWeights, ReadIn

CHANNELS_LAST = torch.channels_last
"""Channels-last memory format: space and time are mixed without copies."""


@dataclass(frozen=True)
class DecoderArchitecture:
    """Sizes: grid cells of `block`×`block` pixels, one feature map per `stride` frames.

    `widths`: channels per level, each level at half the resolution of the previous one; `depth`: residual blocks per
    level.
    """

    block: Count = 2
    stride: Count = 2
    lags: Lags = field(default_factory=lambda: Lags(-2, 15, 5))
    widths: Annotated[tuple[Count, ...], Levels] = (24, 48, 64)
    depth: Depth = 1

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.block, self.stride) < 1:
            raise InputError(f"architecture: expected widths, block and stride of at least 1, got {self}; correct it")


class ResidualBlock(nn.Module):
    """x + time(σ(space(σ(x)))), over 3×3 pixels and 3 frames, on `[B,T,C,h,w]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        inner = functional.silu(self.space(rearrange(functional.silu(x), "b t c h w -> (b t) c h w")))
        # Channels are last in memory: in two steps, neither this nor its gradient copies into another order.
        by_cell = rearrange(rearrange(inner, "bt c h w -> bt h w c"), "(b t) h w c -> b t (h w) c", b=len(x))
        series = rearrange(by_cell, "b t cell c -> b c t cell")
        mixed = functional.conv2d(series, self.time.weight[..., None], self.time.bias, padding=(1, 0))
        return x + rearrange(mixed, "b c t (h w) -> b t c h w", h=x.shape[3])


class Decoder(nn.Module):
    """Responses `[B,n,T]` → movie `[B,1,T,H,W]`, unclipped, relative to the mean frame of the training movies.

    No layer mixes samples. All layers are local in time, so clips of any length can be decoded.
    """

    mean: Tensor

    def __init__(self, neurons: int, frame_size: tuple[int, int], architecture: DecoderArchitecture) -> None:
        super().__init__()
        self.frame_size, self.architecture = frame_size, architecture
        block, widths = architecture.block, architecture.widths
        self.grid = (-(-frame_size[0] // block), -(-frame_size[1] // block))
        painter = GridWeights(neurons, self.grid)
        self.read_in = ReadIn(neurons, widths[0], painter, lags=architecture.lags, stride=architecture.stride)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, padding=1) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.before = nn.ModuleList(self._blocks(width) for width in widths)
        self.after = nn.ModuleList(self._blocks(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], block**2, 3, padding=1)
        self.register_buffer("mean", torch.zeros(frame_size))

    def _blocks(self, width: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(width) for _ in range(self.architecture.depth)))

    def forward(self, responses: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the movie; neurons where `kept` `[B,n]` is False are silenced."""
        painted = self.read_in(responses, self.grid, kept)
        entered = _images(painted).contiguous(memory_format=CHANNELS_LAST)
        features = self._network(_by_frame(entered, painted), 0)
        cells = _by_frame(self.head(_images(features)), features)
        return movie_from_cells(cells, responses.shape[2], self.frame_size) + self.mean

    def _network(self, x: Tensor, level: int) -> Tensor:
        x = self.before[level](x)
        if level == len(self.down):
            return x
        coarse = functional.avg_pool2d(_images(x), 2, ceil_mode=True, count_include_pad=False)
        lower = self._network(_by_frame(self.down[level](coarse), x), level + 1)
        wide = functional.interpolate(self.up[level](_images(lower)), x.shape[-2:], mode="bilinear")
        finished: Tensor = self.after[level](x + _by_frame(wide, x))
        return finished


def movie_from_cells(cells: Tensor, frames: int, frame_size: tuple[int, int]) -> Tensor:
    """Return a movie `[B,1,frames,H,W]` from cells `[B,T',b²,h,w]` of b×b pixels, interpolated in time."""
    height, width = frame_size
    shown = functional.pixel_shuffle(_images(cells), round(cells.shape[2] ** 0.5))[..., :height, :width]
    series = rearrange(shown, "(b t) 1 h w -> b (h w) t", b=len(cells))
    if cells.shape[1] != frames:
        series = functional.interpolate(series, frames, mode="linear", align_corners=False)
    return rearrange(series, "b (h w) t -> b 1 t h w", h=height)


def _by_frame(images: Tensor, like: Tensor) -> Tensor:
    return rearrange(images, "(b t) c h w -> b t c h w", b=len(like))


def _images(frames: Tensor) -> Tensor:
    return rearrange(frames, "b t c h w -> (b t) c h w")


def initialised(
    neurons: int, frame_size: tuple[int, int], architecture: DecoderArchitecture, generator: torch.Generator
) -> Decoder:
    """Return a decoder initialised from a generator: blocks start as the identity, the movie near the mean."""
    decoder = fresh(lambda: Decoder(neurons, frame_size, architecture))
    draw_weights(decoder, generator, gain=2.0)
    for module in decoder.modules():
        if isinstance(module, ResidualBlock):
            module.time.weight.data.zero_()
    decoder.head.weight.data.mul_(0.1)
    return decoder
