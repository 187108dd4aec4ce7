"""The judge: an encoder of a different architecture, never used for reconstruction, that scores reconstructions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.encoders.base import Encoder, Spec
from recon.encoders.behavior import chosen_behavior
from recon.encoders.core_readout.behavior import BehaviorGain
from recon.encoders.core_readout.readout import Keeper, Matrix, SparseReadout, sparse_matrix
from recon.errors import InputError
from recon.errors.ranges import Count, Positive

SPAN = 45
"""Frames per matrix product of the temporal filters."""


@dataclass(frozen=True)
class JudgeSettings:
    """Sizes of the judge.

    `filters` spatial filters, `width` blocks of `block` pixels wide, each with `temporal` filters of `lags` frames,
    mixed into `units`. A neuron reads `patch` × `patch` blocks. `mean` and `std` normalise the movie.
    """

    lags: Count = 14
    filters: Count = 32
    temporal: Count = 3
    block: Count = 4
    width: Count = 5
    units: Count = 48
    patch: Count = 3
    mean: float = 0.45
    std: Positive = 0.25


class Judge(Encoder):
    """rates = scale · gain(behavior) · softplus(⟨patch mask × weights, features⟩ + bias), causal over `lags` frames.

    Energy model with divisive normalisation (Heeger 1992). Each wide spatial filter has its own temporal filters; a
    linear layer mixes their outputs into units. Features are the rectified units and the amplitudes of unit pairs, both
    divided by the local energy. A neuron reads a small patch through a spatial mask times channel weights (Klindt et
    al. 2017). The demo's other encoders instead filter time first, stack rectifiers and read a single point.
    """

    scale: Tensor
    corner: Tensor

    def __init__(self, spec: Spec, settings: JudgeSettings | None = None) -> None:
        super().__init__()
        self.settings = chosen = settings or JudgeSettings()
        self.spec = replace(spec, context=(chosen.lags - 1, 0))
        if spec.channels != 1:
            raise InputError(f"channels: expected 1 (grey), got {spec.channels}; convert the movie to grey first")
        neurons = len(spec.neuron_ids)
        self.grid = tuple(math.ceil(side / chosen.block) for side in spec.frame_size)
        with torch.random.fork_rng(devices=[]):
            self.space = nn.Conv2d(chosen.block**2, chosen.filters, chosen.width, padding=chosen.width // 2, bias=False)
            self.gain = BehaviorGain(len(spec.behavior), neurons) if spec.behavior else None
        self.time = nn.Parameter(torch.zeros(chosen.filters, chosen.temporal, chosen.lags))
        self.mixing = nn.Parameter(torch.zeros(chosen.units, chosen.filters * chosen.temporal))
        self.threshold = nn.Parameter(torch.zeros(chosen.units, 1))
        self.sigma = nn.Parameter(torch.ones(()))
        self.mask = nn.Parameter(torch.ones(neurons, min(chosen.patch, *self.grid) ** 2))
        self.weights = nn.Parameter(torch.zeros(neurons, chosen.units + chosen.units // 2))
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.register_buffer("scale", torch.ones(neurons))
        self.register_buffer("corner", torch.zeros(neurons, 2))
        self.generator: torch.Generator | None = None
        self._keeper: Keeper[Matrix] = Keeper()

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all initial weights from a generator."""
        self.generator = generator
        lag = torch.arange(self.settings.lags).flip(0)
        peak = 2 + 3 * torch.rand(*self.time.shape[:2], 1, generator=generator)
        phase = 2 * torch.pi * torch.rand(*self.time.shape[:2], 1, generator=generator)
        with torch.no_grad():
            self.time.copy_(torch.exp(-0.5 * ((lag - peak) / 2) ** 2) * torch.cos(0.35 * (lag - peak) + phase))
            smooth = torch.randn(self.space.weight.shape, generator=generator)
            pixels = functional.pixel_shuffle(smooth, self.settings.block)
            blurred = functional.avg_pool2d(functional.avg_pool2d(pixels, 5, 1, 2), 5, 1, 2)
            self.space.weight.copy_(functional.pixel_unshuffle(blurred * _window(blurred), self.settings.block))
            self.mixing.normal_(0, self.mixing.shape[1] ** -0.5, generator=generator)
            self.weights.normal_(0, 0.3 * self.weights.shape[1] ** -0.5, generator=generator)
            if self.gain is not None:
                self.gain.initialise(generator)

    @torch.no_grad()
    def calibrate(self, movie: Tensor) -> None:
        """Scale the mixing weights so that each unit has standard deviation 1 on a movie `[C,T,H,W]`."""
        self.mixing.div_(self._units(movie[None]).std((0, 1, 3))[:, None].clamp_min(1e-6))

    @torch.no_grad()
    def place(self, positions: Tensor, level: Tensor) -> None:
        """Centre patches on `positions` `[N,2]` (−1 … 1 of the frame).

        Biases are set so that rates without visual drive equal `level`·scale.
        """
        side = math.isqrt(self.mask.shape[1])
        cells = (positions.flip(1) + 1) / 2 * torch.tensor(self.grid) - side / 2
        last = torch.tensor(self.grid) - side
        corner = cells.round().clamp_min(0).minimum(last.to(cells))
        self.corner.copy_(corner)
        offset = cells - corner + side / 2 - 0.5
        at = torch.arange(side)
        near = [torch.exp(-0.5 * (at - offset[:, axis : axis + 1]) ** 2) for axis in (0, 1)]
        self.mask.copy_(rearrange(near[0][:, :, None] * near[1][:, None], "n h w -> n (h w)"))
        self.bias.copy_(torch.expm1(level).clamp_min(1e-3).log())

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`."""
        chosen = chosen_behavior(self.spec, behavior, movie.transpose(1, 2))
        features = self._features(self._units(movie))
        matrix = self._keeper(self._matrix, (self.mask, self.weights, self.corner), learning=self.training)
        drive = SparseReadout.apply(rearrange(features, "b t f place -> (b t) (f place)"), matrix.values, matrix)
        rates = rearrange(functional.softplus(drive + self.bias), "(b t) n -> b t n", b=len(movie)) + 1e-4
        if self.gain is not None and chosen is not None:
            rates = rates * self.gain(chosen)
        scaled: Tensor = rates * self.scale
        return scaled.transpose(1, 2)

    def regulariser(self, *, smooth: float, sparse: float) -> Tensor:
        """Return `smooth` × roughness of the filters + `sparse` × mean absolute readout weight per neuron."""
        pixels = functional.pixel_shuffle(self.space.weight, self.settings.block)
        rough = (pixels.diff(n=2, dim=2).square().mean() + pixels.diff(n=2, dim=3).square().mean()) / pixels.var()
        rough = rough + self.time.diff(n=2, dim=2).square().mean() / self.time.square().mean()
        size = self.mask.abs().mean(1) * self.weights.abs().sum(1)
        return smooth * rough + sparse * size.mean()

    def _units(self, movie: Tensor) -> Tensor:
        """Return the units' linear outputs `[B,T,U,places]`."""
        batch, _, frames, height, width = movie.shape
        spans = math.ceil(frames / SPAN)
        span = math.ceil(frames / spans)
        block, before = self.settings.block, self.spec.context[0]
        normal = (movie[:, 0] - self.settings.mean) / self.settings.std
        padded = functional.pad(normal, (0, -width % block, 0, -height % block, before, spans * span - frames))
        outputs = self.space(functional.pixel_unshuffle(rearrange(padded, "b t h w -> (b t) 1 h w"), block))
        series = rearrange(outputs, "(b t) u h w -> b t u (h w)", b=batch)
        windows = series.unfold(1, span + before, span).transpose(3, 4)
        filtered = _banded(self.time, span) @ windows
        inputs = rearrange(filtered, "b s u (k t) place -> b (s t) (u k) place", t=span)
        units: Tensor = self.mixing @ inputs
        return units[:, :frames]

    def _features(self, units: Tensor) -> Tensor:
        """Return rectified units and pair amplitudes, divided by the local energy: `[B,T,F,places]`."""
        even, odd = units[:, :, ::2], units[:, :, 1::2]
        energy = even.square() + odd.square()
        pooled = rearrange(energy.mean(2), "b t (h w) -> (b t) 1 h w", h=self.grid[0])
        averaged = functional.avg_pool2d(pooled, 3, 1, 1, count_include_pad=False)
        local = rearrange(averaged, "(b t) 1 h w -> b t 1 (h w)", b=len(units))
        outputs = torch.cat([functional.relu(units - self.threshold), (energy + 1e-3).sqrt()], 2)
        return outputs / (self.sigma.square() + local + 1e-3).sqrt()

    def _matrix(self) -> Matrix:
        side = math.isqrt(self.mask.shape[1])
        steps = torch.arange(side, device=self.corner.device)
        rows, columns = self.corner[:, 0, None].long() + steps, self.corner[:, 1, None].long() + steps
        place = (rows[:, :, None] * self.grid[1] + columns[:, None]).flatten(1)
        channels = self.weights.shape[1]
        places = math.prod(self.grid)
        column = torch.arange(channels, device=place.device)[:, None] * places + place[:, None]
        values = self.weights[:, :, None] * self.mask[:, None]
        return sparse_matrix(values.flatten(1), column.flatten(1), channels * places)


def _banded(filters: Tensor, span: int) -> Tensor:
    """Return filters `[F,K,L]` (newest last) as Toeplitz matrices `[F,K·span,span+L−1]` over `span` frames."""
    lags = filters.shape[-1]
    frame = torch.arange(span, device=filters.device)
    offset = torch.arange(span + lags - 1, device=filters.device) - frame[:, None]
    outside = (offset < 0) | (offset >= lags)
    return functional.pad(filters, (0, 1))[:, :, offset.masked_fill(outside, lags)].flatten(1, 2)


def _window(images: Tensor) -> Tensor:
    at = torch.linspace(-1, 1, images.shape[-1])
    return torch.exp(-2 * (at**2 + at[:, None] ** 2))
