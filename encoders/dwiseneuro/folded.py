"""DwiseNeuro for inversion: frozen weights, folded BatchNorm, channels last, gradients of the movie only.

In channels-last layout `[B,T,H,W,C]` a pointwise layer is one matrix product, and a depthwise layer a 2-D convolution
on a view: spatial filters take frames as samples, temporal filters take pixels as columns. Only the SiLU arguments and
the gates' inputs are saved for the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon.encoders.dwiseneuro.blocks import InvertedResidual, PositionCode, tiled

LAST = torch.channels_last


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution `[B,C,H,W]` in channels-last layout; its backward pass needs the weights only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, shift: Tensor, stride: int) -> Tensor:
        padding = [side // 2 for side in weight.shape[2:]]
        ctx.save_for_backward(weight)
        ctx.geometry = (x.shape, [stride, stride], padding)
        return functional.conv2d(x, weight, shift, (stride, stride), padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        shape, stride, padding = ctx.geometry
        # Only the shape of the convolution's input is used; untouched memory is never allocated.
        unread = torch.empty(shape, dtype=gradient.dtype, device=gradient.device, memory_format=LAST)
        options = (None, stride, padding, [1, 1], False, [0, 0], len(weight), (True, False, False))
        gradient = gradient.contiguous(memory_format=LAST)
        back: Tensor = torch.ops.aten.convolution_backward(gradient, unread, weight.to(gradient.dtype), *options)[0]
        return back, None, None, None


class _Silu(torch.autograd.Function):
    """SiLU whose backward pass overwrites the incoming gradient, which this network uses nowhere else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return functional.silu(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        back: Tensor = torch.ops.aten.silu_backward.grad_input(gradient, x, grad_input=gradient)
        return back


class FoldedBlock:
    """A position code and an inverted residual block, `[B,T,H,W,C]` → `[B,T,H/stride,W/stride,C']`."""

    def __init__(self, code: PositionCode, block: InvertedResidual) -> None:
        self.code, self.stride, self.after = code, block.stride, block.after
        expand, self.expand_shift = folded(block.conv_pw)
        space, self.space_shift = folded(block.spat_covn_dw)
        time, self.time_shift = folded(block.temp_covn_dw)
        project, shift = folded(block.conv_pwl)
        self.expand, self.project = expand.flatten(1), project.flatten(1)
        self.space = space[:, :, 0].contiguous(memory_format=LAST)
        self.time = time[..., 0].contiguous(memory_format=LAST)
        self.shortcut, offset = _scale_and_shift(block.bn_sc.bn)
        self.project_shift = shift + offset
        squeeze = (block.se.conv_reduce, block.se.conv_expand)
        self.squeeze = [(conv.weight.detach().flatten(1), _detached(conv.bias)) for conv in squeeze]
        self.codes: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        x = x + self._code(x)
        batch, frames = x.shape[:2]
        inner = _silu(functional.linear(x, self.expand, self.expand_shift))
        inner = _depthwise(inner.flatten(0, 1), self.space, self.space_shift, self.stride)
        size = inner.shape[1:3]
        inner = _silu(inner).reshape(batch, frames, -1, inner.shape[3])
        inner = _silu(_depthwise(inner, self.time, self.time_shift, 1))
        gated = inner * self._gate(inner)[:, None, None]
        out = functional.linear(gated, self.project, self.project_shift)
        out = out.reshape(batch, frames, *size, self.after)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return torch.addcmul(out, tiled(x.movedim(4, 1), self.after).movedim(1, 4), self.shortcut)

    def _gate(self, inner: Tensor) -> Tensor:
        (reduce, first), (expand, second) = self.squeeze
        squeezed = functional.silu(functional.linear(inner.mean((1, 2)), reduce, first))
        return functional.linear(squeezed, expand, second).sigmoid()

    def _code(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape[1:])
        if shape not in self.codes:
            zeros = x.new_zeros(1, shape[3], *shape[:3])
            self.codes[shape] = self.code(zeros)[0].movedim(0, 3).contiguous()
        return self.codes[shape]


class FoldedCore:
    """Stem and blocks of a frozen core: inputs `[B,5,T,H,W]` → spatial mean of the features `[B,C,T]`."""

    @torch.no_grad()
    def __init__(self, core: Any) -> None:
        stem, self.stem_shift = folded(core.stem)
        self.stem = stem.flatten(1)
        parts = list(core.blocks)
        self.blocks = [FoldedBlock(code, block) for code, block in zip(parts[::2], parts[1::2], strict=True)]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the features."""
        x = functional.linear(inputs.movedim(1, 4), self.stem, self.stem_shift)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3)).transpose(1, 2)


def folded(layer: Any) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with its BatchNorm folded in."""
    conv, norm = layer
    scale, shift = _scale_and_shift(norm.bn)
    return (conv.weight * scale.view(-1, 1, 1, 1, 1)).detach(), shift


def _scale_and_shift(bn: Any) -> tuple[Tensor, Tensor]:
    scale = (bn.weight * torch.rsqrt(bn.running_var + bn.eps)).detach()
    return scale, (bn.bias - bn.running_mean * scale).detach()


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


def _silu(x: Tensor) -> Tensor:
    apply: Any = _Silu.apply
    out: Tensor = apply(x)
    return out


def _depthwise(x: Tensor, weight: Tensor, shift: Tensor, stride: int) -> Tensor:
    """Return the convolution of `[B,H,W,C]` over H and W."""
    apply: Any = _Depthwise.apply
    out: Tensor = apply(x.movedim(3, 1), weight, shift, stride)
    return out.movedim(1, 3)
