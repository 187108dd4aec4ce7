"""Cores of the Sensorium 2023 baselines under their published names: 3-D, factorised 3-D, 2-D, and a GRU.

Sizes are inferred from the shapes in the state dict. Padding and ELU follow the public notebooks. Strides and dilations
are 1, as in every published configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.sensorium.static2022 import Regularizer
from recon.errors import InputError

LAYERS = re.compile(r"core\.features\.layer(\d+)\.")
START = "core.features.layer"


def core_kind(state: Mapping[str, Tensor]) -> str:
    """Return the kind of core: "factorised", "full", "frames" (2-D) or "rotated" (rotation-equivariant 2-D)."""
    if f"{START}0.conv_spatial.weight" in state:
        return "factorised"
    if f"{START}0.hermite_conv.coeffs" in state:
        return "rotated"
    weight = state.get(f"{START}0.conv.weight")
    if weight is None or weight.ndim not in (4, 5):
        raise InputError(
            f"core: expected {START}0 with conv_spatial, conv or hermite_conv weights, got none of them; "
            "take a state dict of a Sensorium 2023 baseline"
        )
    return "full" if weight.ndim == 5 else "frames"


class SpaceTimeCore(nn.Module):
    """3-D convolutions, joint ("full") or spatial then temporal ("factorised"), each layer with BatchNorm and ELU.

    There is no temporal padding: T frames give T − `lost` features, each depending on its own and earlier frames.
    """

    def __init__(self, state: Mapping[str, Tensor], *, padded: bool) -> None:
        super().__init__()
        parts = ("conv_spatial", "conv_temporal") if core_kind(state) == "factorised" else ("conv",)
        self._input_weight_regularizer = Regularizer()
        self.temporal_regularizer = Regularizer((1, 1, 3))
        self.features = nn.Sequential()
        self.lost = 0
        for index in range(_layers(state)):
            layer = nn.Sequential()
            for part in parts:
                name = part if index == 0 else f"{part}_{index}"
                made = _convolution(state, f"{START}{index}.{name}", padded=padded)
                self.lost += made.kernel_size[0] - 1
                layer.add_module(name, made)
            layer.add_module("norm", nn.BatchNorm3d(made.out_channels))
            layer.add_module("nonlin", nn.ELU())
            self.features.add_module(f"layer{index}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B,F,T−lost,h,w]` of inputs `[B,C,T,H,W]`."""
        features: Tensor = self.features(x)
        return features


class FrameCore(nn.Module):
    """2-D convolutions of each frame with BatchNorm and, except in the last layer, ELU.

    The first layer is padded if `padded` (published: no), the others always.
    """

    lost = 0

    def __init__(self, state: Mapping[str, Tensor], *, padded: bool) -> None:
        super().__init__()
        rotated, count = core_kind(state) == "rotated", _layers(state)
        self._input_weights_regularizer = Regularizer()
        self.features = nn.Sequential()
        for index in range(count):
            layer, same = nn.Sequential(), padded or index > 0
            if rotated:
                turned = HermiteConvolution(state, f"{START}{index}.hermite_conv", first=index == 0, padded=same)
                layer.add_module("hermite_conv", turned)
                layer.add_module("norm", RotationNorm(turned.coeffs.shape[2]))
            else:
                made = _convolution(state, f"{START}{index}.conv", padded=same)
                layer.add_module("conv", made)
                layer.add_module("norm", nn.BatchNorm2d(made.out_channels))
            if index < count - 1:
                layer.add_module("nonlin", nn.ELU())
            self.features.add_module(f"layer{index}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[B,F,T,h,w]` of inputs `[B,C,T,H,W]`."""
        features: Tensor = self.features(rearrange(x, "b c t h w -> (b t) c h w"))
        return rearrange(features, "(b t) f h w -> b f t h w", b=len(x))


class RotatedBasis(nn.Module):
    """Hermite functions `H` `[K,S,S]` and rotation matrices `Rs` `[K,K]` of their coefficients, both published."""

    def __init__(self, state: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        turns = sum(other.startswith(f"{name}.Rs.") for other in state)
        self.H = nn.Parameter(torch.zeros_like(state[f"{name}.H"]), requires_grad=False)
        matrices = (torch.zeros_like(state[f"{name}.Rs.{turn}"]) for turn in range(turns))
        self.Rs = nn.ParameterList([nn.Parameter(matrix, requires_grad=False) for matrix in matrices])

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return filters `[R,F,C,S,S]` for coefficients `[K,C,F]`, one set per rotation."""
        turned = torch.einsum("rkl,lcf->rkcf", torch.stack(tuple(self.Rs)), coefficients)
        return torch.einsum("kxy,rkcf->rfcxy", self.H, turned)


class HermiteConvolution(nn.Module):
    """Rotation-equivariant convolution with Hermite filters (Ecker et al. 2019).

    After the first layer the input channels are rotations too, so rotating a filter also cyclically shifts its input
    channels by one rotation.
    """

    def __init__(self, state: Mapping[str, Tensor], name: str, *, first: bool, padded: bool) -> None:
        super().__init__()
        self.coeffs = nn.Parameter(torch.zeros_like(state[f"{name}.coeffs"]))
        self.rotate_hermite = RotatedBasis(state, f"{name}.rotate_hermite")
        # A filter of k pixels has K = k(k+1)/2 Hermite functions.
        self.kernel = int((2 * len(self.coeffs)) ** 0.5)
        self.padding = self.kernel // 2 if padded else 0
        self.first = first

    def filters(self) -> Tensor:
        """Return the filters `[R·F,C,k,k]`, summed from the finer grid of the Hermite functions."""
        filters: Tensor = self.rotate_hermite(self.coeffs)
        if not self.first:
            step = filters.shape[2] // len(filters)
            filters = torch.stack([turned.roll(turn * step, 1) for turn, turned in enumerate(filters)])
        finer = filters.shape[-1] // self.kernel
        return functional.avg_pool2d(filters.flatten(0, 1), finer, divisor_override=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features `[M,R·F,h,w]` of frames `[M,C,H,W]`."""
        return functional.conv2d(x, self.filters(), padding=self.padding)


class RotationNorm(nn.Module):
    """BatchNorm with statistics and scales shared by all rotations of a feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.batch_norm = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features `[M,R·F,h,w]`."""
        turned = rearrange(x, "m (r f) h w -> m f (r h w)", f=self.batch_norm.num_features)
        normal: Tensor = self.batch_norm(turned)
        return rearrange(normal, "m f (r h w) -> m (r f) h w", h=x.shape[2], w=x.shape[3])


class Recurrence(nn.Module):
    """Gated recurrent unit between core and readout, under its published name."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.gru = ConvolutionalGRU(state)

    def forward(self, x: Tensor) -> Tensor:
        """Return states `[B,F,T,h,w]`."""
        states: Tensor = self.gru(x)
        return states


class ConvolutionalGRU(nn.Module):
    """h(t) = (1 − u)·h(t−1) + u·tanh(out(x) + out′(r·h(t−1))), u and r sigmoids of convolutions (Sinz et al. 2018).

    The state before the first frame is zero.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for gate in ("reset", "update", "out"):
            for source in ("input", "hidden"):
                name = f"{gate}_gate_{source}"
                self.add_module(name, _convolution(state, f"gru_module.gru.{name}", padded=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return states `[B,F,T,h,w]` for inputs `[B,C,T,h,w]`."""
        frames = rearrange(x, "b c t h w -> (b t) c h w")
        driven = [self._gate(f"{gate}_gate_input", frames) for gate in ("reset", "update", "out")]
        by_frame = [rearrange(part, "(b t) f h w -> b t f h w", b=len(x)).unbind(1) for part in driven]
        states: list[Tensor] = []
        hidden = torch.zeros_like(by_frame[0][0])
        for reset, update, out in zip(*by_frame, strict=True):
            reset = torch.sigmoid(reset + self._gate("reset_gate_hidden", hidden))
            update = torch.sigmoid(update + self._gate("update_gate_hidden", hidden))
            out = torch.tanh(out + self._gate("out_gate_hidden", hidden * reset))
            hidden = hidden * (1 - update) + out * update
            states.append(hidden)
        return torch.stack(states, 2)

    def _gate(self, name: str, x: Tensor) -> Tensor:
        return cast(Tensor, self.get_submodule(name)(x))


def _layers(state: Mapping[str, Tensor]) -> int:
    return 1 + max(int(found[1]) for found in map(LAYERS.match, state) if found)


def _convolution(state: Mapping[str, Tensor], name: str, *, padded: bool) -> nn.Conv2d | nn.Conv3d:
    """Return a 2-D or 3-D convolution with the shapes of these weights; any padding is spatial only."""
    outputs, inputs, *kernel = state[f"{name}.weight"].shape
    biased, around = f"{name}.bias" in state, [width // 2 if padded else 0 for width in kernel[-2:]]
    if len(kernel) == 2:
        return nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), padding=(around[0], around[1]), bias=biased)
    size = (kernel[0], kernel[1], kernel[2])
    return nn.Conv3d(inputs, outputs, size, padding=(0, around[0], around[1]), bias=biased)
