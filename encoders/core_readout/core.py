"""Factorised space–time core: temporal filters, a wide strided spatial convolution, a narrow mixing layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from recon.errors.ranges import Count


@dataclass(frozen=True)
class CoreSettings:
    """Sizes of the core: `temporal` filters of `lags` frames, then convolutions in units of pixel blocks.

    `block` is the pooling of feature positions, in pixels along each axis. All pixels of a block enter the filters, so
    that no pixel is in the null space.
    """

    lags: Count = 14
    temporal: Count = 4
    block: Count = 2
    kernel: Count = 4
    features: Count = 32
    mixing: Count = 3
    dilation: Annotated[Count, Field(le=64)] = 1
    hidden: Count = 32


class Core(nn.Module):
    """Factorised space–time features: temporal filters, wide strided convolution, ReLU, mixing convolution, ReLU.

    The caller applies the temporal filters (`temporal_filters`) to whole clips. The pixels of a block are channels, so
    that the strided convolution runs as a dense one.
    """

    def __init__(self, settings: CoreSettings) -> None:
        super().__init__()
        self.settings = settings
        blocks = settings.temporal * settings.block**2
        self.temporal = nn.Parameter(torch.zeros(settings.temporal, settings.lags))
        self.space = nn.Conv2d(blocks, settings.features, settings.kernel)
        reach = settings.mixing // 2 * settings.dilation
        self.mixing = nn.Conv2d(
            settings.features, settings.hidden, settings.mixing, padding=reach, dilation=settings.dilation
        )

    @property
    def first(self) -> float:
        """Position of feature 0 in blocks from the edge; an even kernel is centred between blocks."""
        return 0.5 if self.settings.kernel % 2 else 0.0

    def initialise(self, generator: torch.Generator) -> None:
        """Set smooth temporal filters, Gabor spatial filters and small Gaussian mixing weights."""
        lag = torch.arange(self.settings.lags).flip(0)
        order = torch.arange(1, self.settings.temporal + 1)[:, None]
        waves = torch.sin(torch.pi * order * ((lag + 0.5) / self.settings.lags).sqrt()) * torch.exp(-lag / 8)
        with torch.no_grad():
            self.temporal.copy_(waves / waves.norm(dim=1, keepdim=True))
            self.space.weight.copy_(self._gabors(generator))
            self.mixing.weight.normal_(0, self.mixing.weight[0].numel() ** -0.5, generator=generator)
            for layer in (self.space, self.mixing):
                nn.init.zeros_(cast(Tensor, layer.bias))

    def _gabors(self, generator: torch.Generator) -> Tensor:
        """Return Gabor filters of random orientation, frequency, phase and width, with random temporal weights."""
        count, side = self.settings.features, self.settings.kernel * self.settings.block
        at = torch.arange(side) - (side - 1) / 2
        angle, phase, width, frequency = torch.rand(4, count, 1, 1, generator=generator)
        along = torch.cos(2 * torch.pi * angle) * at + torch.sin(2 * torch.pi * angle) * at[:, None]
        envelope = torch.exp(-0.5 * (at**2 + at[:, None] ** 2) / (side * (0.12 + 0.12 * width)) ** 2)
        patches = envelope * torch.cos(2 * torch.pi * ((0.25 * frequency**2 + 0.02) * along + phase))
        patches = patches / patches.flatten(1).norm(dim=1)[:, None, None]
        weights = torch.randn(count, self.settings.temporal, 1, 1, generator=generator)
        return functional.pixel_unshuffle(weights * patches[:, None], self.settings.block)

    @torch.no_grad()
    def calibrate(self, planes: Tensor) -> None:
        """Scale both layers to outputs of standard deviation 1 on planes `[M,R·block²,h,w]`."""
        self.space.weight.div_(self.filtered(planes).std((0, 2, 3))[:, None, None, None].clamp_min(1e-6))
        mixed = self.mixing(functional.relu(self.filtered(planes)))
        self.mixing.weight.div_(mixed.std((0, 2, 3))[:, None, None, None].clamp_min(1e-6))

    def forward(self, planes: Tensor) -> Tensor:
        """Return features `[M,F,h,w]` for temporally filtered planes `[M,R·block²,h,w]`."""
        return functional.relu(self.mixing(functional.relu(self.filtered(planes))))

    def filtered(self, planes: Tensor) -> Tensor:
        """Return the outputs of the linear space–time filters, before the first ReLU."""
        blocks = planes.contiguous(memory_format=torch.channels_last)
        before = self.settings.kernel // 2
        after = self.settings.kernel - 1 - before
        outputs: Tensor = self.space(functional.pad(blocks, (before, after, before, after)))
        return outputs

    def in_blocks(self, movie: Tensor) -> Tensor:
        """Return pixel blocks `[B,T,block²,h,w]` of a movie `[B,T,H,W]`, zero-padded to multiples of `block`.

        Blocks are formed before the temporal filters, which multiply the number of values.
        """
        height, width = movie.shape[-2:]
        block = self.settings.block
        even = functional.pad(movie, (0, -width % block, 0, -height % block))
        return functional.pixel_unshuffle(even[:, :, None].contiguous(), block)

    def smoothness(self) -> Tensor:
        """Return the filters' roughness: mean squared spatial Laplacian and temporal second differences, normalised."""
        weight = self.space.weight
        pixels = functional.pixel_shuffle(weight, self.settings.block)
        space = _laplacian(pixels.flatten(0, 1)[:, None]).square().mean()
        time = self.temporal.diff(n=2, dim=1).square().mean()
        return space / weight.square().mean() + time / self.temporal.square().mean()


def temporal_filters(movie: Tensor, filters: Tensor, *, span: int) -> Tensor:
    """Return planes `[B,T,R,…]`: a movie `[B,T+L−1,…]` filtered in time by `[R,L]` (newest lag last).

    `span` divides T. Each span is multiplied by a banded Toeplitz matrix, on a CPU many times faster than a one-channel
    convolution.
    """
    batch, seen, *rest = movie.shape
    rank, lags = filters.shape
    offset = torch.arange(span + lags - 1, device=movie.device) - torch.arange(span, device=movie.device)[:, None]
    outside = (offset < 0) | (offset >= lags)
    banded = functional.pad(filters, (0, 1))[:, offset.masked_fill(outside, lags)].transpose(0, 1)
    pixels = movie.reshape(batch, seen, -1)
    alone = seen == span + lags - 1
    windows = pixels[:, None] if alone else pixels.unfold(1, span + lags - 1, span).transpose(2, 3)
    return (banded.flatten(0, 1) @ windows).reshape(batch, seen - lags + 1, rank, *rest)


def _laplacian(images: Tensor) -> Tensor:
    stencil = images.new_tensor([[0.25, 0.5, 0.25], [0.5, -3.0, 0.5], [0.25, 0.5, 0.25]])
    return functional.conv2d(images, stencil[None, None], padding=1)
