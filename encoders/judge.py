"""The judge: another architecture, which no reconstruction ever descends, to score what the others made."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder, Spec
from encoders.modulation import BehaviorGain
from encoders.wrapped import chosen_behavior

STRIDE = 2


@dataclass(frozen=True)
class JudgeSettings:
    """Sizes: two full space–time convolutions and a factorised readout of `rank` separable maps per neuron."""

    lags: int = 12
    filters: int = 20
    width: int = 9
    mixing_lags: int = 3
    hidden: int = 24
    rank: int = 1
    mean: float = 0.45
    std: float = 0.25


class Judge(Encoder):
    """rates = scale · gain(behavior) · softplus(Σ mask_y·mask_x·weights·features + bias), causal.

    Full (not separable) space–time filters from pixels, pairs of them squared and summed as energy beside their
    rectified outputs, a causal space–time convolution, and a readout over the whole frame by separable masks
    (Klindt et al. 2017) where the other architecture reads one point.
    """

    scale: Tensor

    def __init__(self, spec: Spec, settings: JudgeSettings | None = None) -> None:
        super().__init__()
        self.settings = chosen = settings or JudgeSettings()
        self.spec = replace(spec, context=(chosen.lags + chosen.mixing_lags - 2, 0))
        neurons = len(spec.neuron_ids)
        height, width = (math.ceil(side / STRIDE) for side in spec.frame_size)
        with torch.random.fork_rng(devices=[]):
            seen = spec.channels * chosen.lags
            self.filters = nn.Conv2d(seen, chosen.filters, chosen.width, STRIDE, chosen.width // 2)
            inside = chosen.filters + chosen.filters // 2
            self.mixing = nn.Conv2d(inside * chosen.mixing_lags, chosen.hidden, 1)
            self.gain = BehaviorGain(len(spec.behavior), neurons) if spec.behavior else None
        self.rows = nn.Parameter(torch.zeros(neurons, height))
        self.columns = nn.Parameter(torch.zeros(neurons, width))
        self.weights = nn.Parameter(torch.zeros(neurons, chosen.hidden))
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.register_buffer("scale", torch.ones(neurons))
        self.generator: torch.Generator | None = None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all starting weights from a generator."""
        self.generator = generator
        with torch.no_grad():
            for layer in (self.filters, self.mixing):
                layer.weight.normal_(0, layer.weight[0].numel() ** -0.5, generator=generator)
            for bias in (self.filters.bias, self.mixing.bias):
                nn.init.zeros_(cast(Tensor, bias))
            for mask in (self.rows, self.columns):
                mask.normal_(0.05, 0.02, generator=generator)
            self.weights.normal_(0, self.settings.hidden**-0.5, generator=generator)
            self.bias.zero_()
            if self.gain is not None:
                self.gain.initialise(generator)

    @torch.no_grad()
    def place(self, positions: Tensor, level: Tensor) -> None:
        """Put Gaussian masks at `positions` `[N,2]` (−1 … 1 of the frame), biases where rates are `level`·scale."""
        for axis, mask in ((0, self.columns), (1, self.rows)):
            cells = mask.shape[1]
            at = (torch.arange(cells) + 0.5) / cells * 2 - 1
            width = 2 * STRIDE / self.spec.frame_size[1 - axis] * 1.5
            mask.copy_(torch.exp(-0.5 * ((at - positions[:, axis : axis + 1]) / width) ** 2))
        self.bias.copy_(torch.expm1(level).clamp_min(1e-3).log())

    @torch.no_grad()
    def calibrate(self, movie: Tensor) -> None:
        """Scale the filters to outputs of deviation one on a movie `[C,T,H,W]`."""
        normal = (movie - self.settings.mean) / self.settings.std
        outputs = self.filters(_past(normal.transpose(0, 1), self.settings.lags))
        self.filters.weight.div_(outputs.std((0, 2, 3))[:, None, None, None].clamp_min(1e-6))

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`."""
        chosen = chosen_behavior(self.spec, behavior)
        rates = torch.stack([self._rates(clip) for clip in movie])
        if self.gain is not None and chosen is not None:
            rates = rates * self.gain(chosen)
        return (rates * self.scale).transpose(1, 2)

    def regulariser(self, *, smooth: float, sparse: float) -> Tensor:
        """Return `smooth` × roughness of the filters + `sparse` × mean absolute readout weight of a neuron."""
        filters = self.filters.weight
        rough = filters.diff(n=2, dim=2).square().mean() + filters.diff(n=2, dim=3).square().mean()
        size = self.rows.abs().sum(1) * self.columns.abs().sum(1) * self.weights.abs().sum(1)
        return smooth * rough / filters.square().mean() + sparse * size.mean()

    def _rates(self, clip: Tensor) -> Tensor:
        """Return rates `[T,N]` of one clip `[C,T,H,W]`: past frames are channels of an ordinary convolution."""
        normal = (clip - self.settings.mean) / self.settings.std
        outputs = self.filters(_past(normal.transpose(0, 1), self.settings.lags))
        even, odd = outputs[:, ::2], outputs[:, 1::2]
        energy = (even.square() + odd.square() + 1e-4).sqrt()
        features = torch.cat([functional.relu(outputs), energy], 1)
        hidden = functional.silu(self.mixing(_past(features, self.settings.mixing_lags)))
        seen = torch.einsum("tchw,nw->tchn", hidden, self.columns)
        drive = torch.einsum("tchn,nh,nc->tn", seen, self.rows, self.weights)
        return functional.softplus(drive + self.bias)


def _past(frames: Tensor, lags: int) -> Tensor:
    """Return `[T,C·lags,H,W]`: each frame of `[T,C,H,W]` with the lags−1 before it (zeros before the first)."""
    padded = functional.pad(frames, (0, 0, 0, 0, 0, 0, lags - 1, 0))
    return padded.unfold(0, lags, 1).movedim(-1, 2).flatten(1, 2)
