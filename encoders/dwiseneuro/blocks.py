"""Layers of DwiseNeuro `[B,C,T,H,W]` under their published parameter names (Sensorium 2023, winner's code).

Names are those of the challenge weights, such as `core.blocks.1.conv_pw.0.weight`; a published state dict loads
strictly. In evaluation every BatchNorm is folded into its preceding convolution, which saves one memory pass per layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Settings shared by all inverted residual blocks of a core: kernels, expansion, squeeze ratio."""

    spatial_kernel: int = 3
    temporal_kernel: int = 5
    expansion_ratio: int = 7
    se_reduce_ratio: int = 32


class Norm(nn.Module):
    """BatchNorm under the published name `bn`, followed by SiLU if `act`."""

    def __init__(self, features: int, *, dimensions: int = 3, act: bool = True) -> None:
        super().__init__()
        self.bn: Any = nn.BatchNorm3d(features) if dimensions == 3 else nn.BatchNorm1d(features)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features of unchanged shape."""
        normal: Tensor = self.bn(x)
        return functional.silu(normal) if self.act else normal

    def after(self, conv: Any, x: Tensor) -> Tensor:
        """Return norm(conv(x)); in evaluation the norm's scale and shift are folded into the convolution."""
        bn = self.bn
        if bn.training:
            learning: Tensor = self(conv(x))
            return learning
        scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
        weight = conv.weight * scale.view(-1, *[1] * (conv.weight.ndim - 1))
        shift = bn.bias - bn.running_mean * scale
        apply = functional.conv3d if x.ndim == 5 else functional.conv1d
        out: Tensor = apply(x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups)
        return functional.silu(out, inplace=not out.requires_grad) if self.act else out


class Drop(nn.Module):
    """Dropout of parts of `[B,C,…]` in training, with probability `rate`; kept parts are scaled by 1/(1−rate).

    With `axes=1` whole samples are dropped (stochastic depth, Huang et al. 2016), with `axes=2` whole channels of a
    sample (Tompson et al. 2015). Masks are drawn on the CPU from `generator` (None: torch's global one), so that
    training is reproducible and resumable on every device.
    """

    def __init__(self, rate: float, *, axes: int = 1) -> None:
        super().__init__()
        self.rate, self.axes = rate, axes
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x, with random parts zeroed in training."""
        if not self.training or self.rate == 0:
            return x
        parts = (*x.shape[: self.axes], *[1] * (x.ndim - self.axes))
        kept = torch.empty(parts).bernoulli_(1 - self.rate, generator=self.generator) / (1 - self.rate)
        return x * kept.to(x)


class SqueezeExcite(nn.Module):
    """Channel gating by the channel means over (t,y,x) of the window (Hu et al. 2018)."""

    def __init__(self, features: int, ratio: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv3d(features, features // ratio, 1)
        self.conv_expand = nn.Conv3d(features // ratio, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x · sigmoid(expand(silu(reduce(mean x))))."""
        squeezed = functional.silu(self.conv_reduce(x.mean((2, 3, 4), keepdim=True)))
        gate: Tensor = self.conv_expand(squeezed)
        return x * gate.sigmoid()


class InvertedResidual(nn.Module):
    """Expand, filter in space, filter in time, gate, project; plus a normalised, tiled nearest-neighbour shortcut."""

    def __init__(self, features: tuple[int, int], stride: int, shape: Shape, *, drop_path: float = 0.0) -> None:
        super().__init__()
        before, self.after = features
        self.stride, middle = stride, before * shape.expansion_ratio
        space, time = shape.spatial_kernel, shape.temporal_kernel
        spatial: dict[str, Any] = {"stride": (1, stride, stride), "padding": (0, space // 2, space // 2)}
        self.conv_pw = _layers(before, middle, (1, 1, 1))
        # The misspelling is part of the published weight names.
        self.spat_covn_dw = _layers(middle, middle, (1, space, space), groups=middle, **spatial)
        self.temp_covn_dw = _layers(middle, middle, (time, 1, 1), groups=middle, padding=(time // 2, 0, 0))
        self.se = SqueezeExcite(middle, shape.se_reduce_ratio)
        self.conv_pwl = _layers(middle, self.after, (1, 1, 1), act=False)
        self.drop_path = Drop(drop_path)
        self.bn_sc = Norm(self.after, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B,C',T,H/stride,W/stride]`."""
        inner = x
        for layer in (self.conv_pw, self.spat_covn_dw, self.temp_covn_dw):
            inner = run_layers(layer, inner)
        inner = run_layers(self.conv_pwl, self.se(inner))
        total: Tensor = self.drop_path(inner) + self.bn_sc(self._shortcut(x))
        return total

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            # Sizes are rounded up, as by the strided convolution.
            size = (x.shape[2], *(math.ceil(side / self.stride) for side in x.shape[3:]))
            x = functional.interpolate(x, size=size, mode="nearest")
        return tiled(x, self.after)


class PositionCode(nn.Module):
    """Adds a fixed three-dimensional sinusoidal encoding of (t,y,x) within the window (Vaswani et al. 2017)."""

    inv_freq: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        channels = math.ceil(features / 6) * 2
        channels += channels % 2
        powers = torch.arange(0, channels, 2).float() / channels
        self.register_buffer("inv_freq", 1.0 / (10000**powers))

    def forward(self, x: Tensor) -> Tensor:
        """Return x + code; each axis encodes a third of the channels, truncated to those of x."""
        rows = [self._axis(length).to(x.dtype) for length in x.shape[2:]]
        shapes = [[-1 if axis == own else 1 for axis in range(3)] for own in range(3)]
        parts = [row.view(len(row), *shape).expand(-1, *x.shape[2:]) for row, shape in zip(rows, shapes, strict=True)]
        code = torch.cat(parts)[: self.features]
        return x + code

    def _axis(self, length: int) -> Tensor:
        phase = self.inv_freq[:, None] * torch.arange(length, device=self.inv_freq.device, dtype=self.inv_freq.dtype)
        return torch.cat((phase.sin(), phase.cos()))


class ShuffleLayer(nn.Module):
    """Grouped pointwise layer `[B,C,T]` → `[B,C',T]` with channel shuffle between groups and a tiled shortcut."""

    def __init__(self, features: tuple[int, int], groups: int, drop_path: float) -> None:
        super().__init__()
        before, self.after = features
        self.groups = groups
        self.conv = nn.Conv1d(before, self.after, 1, groups=groups, bias=False)
        self.bn = Norm(self.after, dimensions=1)
        self.drop_path = Drop(drop_path)
        self.bn_sc = Norm(self.after, dimensions=1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return shuffle(silu(norm(conv x))) + norm(tiled x)."""
        inner = self.bn.after(self.conv, x)
        if self.groups > 1:
            inner = rearrange(inner, "b (group c) t -> b (c group) t", group=self.groups)
        total: Tensor = self.drop_path(inner) + self.bn_sc(tiled(x, self.after))
        return total


class Readout(nn.Module):
    """Rates `[B,N,T]` of one mouse: a grouped pointwise layer, truncated to N outputs, and Softplus."""

    def __init__(self, features: int, neurons: int, groups: int, *, beta: float, drop: float) -> None:
        super().__init__()
        self.neurons, self.beta = neurons, beta
        padded = math.ceil(neurons / groups) * groups
        self.layer = nn.Sequential(Drop(drop, axes=2), nn.Conv1d(features, padded, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        """Return softplus_β(layer x) `[B,N,T]`."""
        drive: Tensor = self.layer(x)[:, : self.neurons]
        return functional.softplus(drive, beta=self.beta)


def tiled(x: Tensor, channels: int) -> Tensor:
    """Return x `[B,C,…]` with its channels tiled and truncated to `channels`.

    >>> tiled(torch.tensor([[1, 2]]), 3)
    tensor([[1, 2, 1]])
    """
    if x.shape[1] == channels:
        return x
    copies = math.ceil(channels / x.shape[1])
    return torch.cat([x] * copies, 1)[:, :channels]


def blocks(features: Sequence[int], strides: Sequence[int], shape: Shape, *, drop_path: float) -> nn.Sequential:
    """Return alternating position codes and inverted residual blocks; each block outputs the width of the next."""
    following = [*features[1:], features[-1]]
    parts: list[nn.Module] = []
    for index, (before, after, stride) in enumerate(zip(features, following, strides, strict=True)):
        rate = drop_path * index / len(features)
        parts += [PositionCode(before), InvertedResidual((before, after), stride, shape, drop_path=rate)]
    return nn.Sequential(*parts)


def stem(channels: int, features: int) -> nn.Sequential:
    """Return the pointwise input layer, without activation."""
    return _layers(channels, features, (1, 1, 1), act=False)


def _layers(
    before: int, after: int, kernel: tuple[int, int, int], *, act: bool = True, **options: Any
) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(before, after, kernel, bias=False, **options), Norm(after, act=act))


def run_layers(layer: nn.Sequential, x: Tensor) -> Tensor:
    """Return norm(conv(x)) of a (convolution, norm) pair, folded in evaluation."""
    conv, norm = layer
    out: Tensor = norm.after(conv, x) if isinstance(norm, Norm) else layer(x)
    return out
