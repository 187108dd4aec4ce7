"""The demo's encoder: factorised convolutional core, full Gaussian readout, behavior gain, pupil shifter."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.encoders.base import Encoder, Spec
from recon.encoders.behavior import chosen_behavior
from recon.encoders.core_readout.behavior import BehaviorGain, pupil_shift
from recon.encoders.core_readout.core import Core, CoreSettings, temporal_filters
from recon.encoders.core_readout.readout import (
    Keeper,
    Matrix,
    PlacedReadout,
    PlacewiseReadout,
    SparseReadout,
    gaussian_readout,
    learnt,
    readout_matrix,
    readout_places,
    sampled_positions,
)
from recon.errors import InputError
from recon.errors.ranges import Positive

SPAN = 45
"""Frames per pass through the core: their features fit into the processor's cache."""
FLOOR = 1e-4
"""Lowest rate in units of a neuron's scale; keeps the Poisson likelihood finite."""


@dataclass(frozen=True)
class CoreReadoutSettings:
    """Settings: `mean` and `std` normalise the movie; `shifter` moves receptive fields with the pupil.

    `init_sigma` is the initial spread of readout positions (half frames).
    """

    core: CoreSettings = field(default_factory=CoreSettings)
    mean: float = 0.45
    std: Positive = 0.25
    init_sigma: Positive = 0.05
    shifter: bool = False


class CoreReadout(Encoder):
    """rates = scale · gain(behavior) · (ELU(⟨features at μ, weights⟩ + bias) + 1), causal over `lags` frames.

    The history before frame 0 is padded with mean luminance. In training, readout positions are sampled around μ (Lurz
    et al. 2021); in evaluation, the readout is one sparse matrix.
    """

    scale: Tensor

    def __init__(self, spec: Spec, settings: CoreReadoutSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or CoreReadoutSettings()
        self.spec = replace(spec, context=(self.settings.core.lags - 1, 0))
        if spec.channels != 1:
            raise InputError(f"channels: expected 1 (grey), got {spec.channels}; convert the movie to grey first")
        neurons = len(spec.neuron_ids)
        height, width = (math.ceil(side / self.settings.core.block) for side in spec.frame_size)
        with torch.random.fork_rng(devices=[]):
            self.core = Core(self.settings.core)
            self.gain = BehaviorGain(len(spec.behavior), neurons) if spec.behavior else None
            self.shifter = pupil_shift(spec.behavior) if self.settings.shifter else None
        size = (self.settings.core.hidden, height, width)
        self.readout: Any = gaussian_readout(size, neurons, init_sigma=self.settings.init_sigma)
        self.register_buffer("scale", torch.ones(neurons))
        self.generator: torch.Generator | None = None
        self._keeper: Keeper[PlacewiseReadout | Matrix] = Keeper()

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all initial weights from a generator, which also samples readout positions in training."""
        self.generator = generator
        self.core.initialise(generator)
        with torch.no_grad():
            self.readout.features.normal_(0, self.settings.core.hidden**-0.5 * 0.3, generator=generator)
            self.readout.sigma.normal_(0, self.settings.init_sigma, generator=generator)
            self.readout.mu.uniform_(-0.8, 0.8, generator=generator)
            self.readout.bias.zero_()
            if self.gain is not None:
                self.gain.initialise(generator)
            if self.shifter is not None:
                self.shifter.initialise(generator)

    @torch.no_grad()
    def place(self, positions: Tensor, level: Tensor) -> None:
        """Place receptive fields at `positions` `[N,2]` (−1 … 1 of the frame).

        Biases are set so that rates without visual drive equal `level`·scale.
        """
        height, width = self.spec.frame_size
        pixels = torch.tensor([width, height], dtype=positions.dtype)
        cells = torch.tensor([self.readout.in_shape[2], self.readout.in_shape[1]], dtype=positions.dtype)
        cell = (positions + 1) / 2 * pixels / self.settings.core.block - self.core.first
        self.readout.mu[0, :, 0].copy_((2 * cell / (cells - 1).clamp_min(1) - 1).clamp(-1, 1))
        self.readout.bias.copy_(torch.where(level > 1, level - 1, level.clamp_min(1e-3).log()))

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`."""
        return self.respond(self.filtered(movie), behavior)

    def filtered(self, movie: Tensor, *, padded: bool = True) -> Tensor:
        """Return the normalised movie in pixel blocks after the temporal filters, the only operation across frames.

        Planes `[B,T,R·block²,h,w]`: all frames if `padded`, else only frames with full history.
        """
        before = self.spec.context[0] if padded else 0
        frames = movie.shape[2] + before - self.spec.context[0]
        span, spans = _spans(frames)
        return self._planes(movie, span, (before, spans * span - frames))[:, :frames]

    def respond(self, planes: Tensor, behavior: Tensor | None) -> Tensor:
        """Return rates `[B,N,T]` for filtered movies `[B,T,R·block²,h,w]`; frames are independent."""
        chosen = chosen_behavior(self.spec, behavior, planes)
        shift = (
            None if self.shifter is None or chosen is None else rearrange(self.shifter(chosen), "b t xy -> (b t) xy")
        )
        drive = rearrange(self._drive(planes, shift), "(b t) n -> b t n", b=len(planes))
        rates = functional.elu(drive) + (1 + FLOOR)
        if self.gain is not None and chosen is not None:
            rates = rates * self.gain(chosen)
        scaled: Tensor = rates * self.scale
        return scaled.transpose(1, 2)

    def regulariser(self, *, smooth: float, sparse: float) -> Tensor:
        """Return `smooth` × roughness of the filters + `sparse` × mean absolute feature weight per neuron."""
        size: Tensor = self.readout.features.abs().sum(1).mean()
        return smooth * self.core.smoothness() + sparse * size

    @torch.no_grad()
    def calibrate(self, movie: Tensor) -> None:
        """Scale the core's layers to outputs of standard deviation 1 on a movie `[C,T,H,W]`."""
        planes = self._planes(movie[None], len(movie[0]), (self.spec.context[0], 0))
        self.core.calibrate(planes.flatten(0, 1))

    def _planes(self, movie: Tensor, span: int, padding: tuple[int, int]) -> Tensor:
        normal = (movie[:, 0] - self.settings.mean) / self.settings.std
        blocks = functional.pad(self.core.in_blocks(normal), (0, 0, 0, 0, 0, 0, *padding))
        return temporal_filters(blocks, self.core.temporal, span=span).flatten(2, 3)

    def _drive(self, planes: Tensor, shift: Tensor | None) -> Tensor:
        """Return the drive `[B·T,N]`, computed in spans of frames that fit into the cache."""
        flat = planes.flatten(0, 1)
        if shift is not None:
            return self._shifted(self.core(flat), shift)
        matrix, (span, _) = self._matrix(), _spans(planes.shape[1])
        parts = [self._read(self.core(part), matrix) for part in torch.split(flat, span)]
        drive: Tensor = torch.cat(parts) + self.readout.bias
        return drive

    def _read(self, features: Tensor, readout: PlacewiseReadout | Matrix) -> Tensor:
        by_place = rearrange(features, "m f h w -> m (h w) f")
        if isinstance(readout, PlacewiseReadout):
            placed: Tensor = PlacedReadout.apply(by_place, readout)
            return placed
        drive: Tensor = SparseReadout.apply(by_place.flatten(1), readout.values, readout)
        return drive

    def _shifted(self, features: Tensor, shift: Tensor) -> Tensor:
        """Read out at pupil-shifted positions; they differ between frames, so no constant matrix applies."""
        drive: Tensor = self.readout(features, sample=False, shift=shift)
        return drive

    def _matrix(self) -> PlacewiseReadout | Matrix:
        """Return the readout matrix; in training, positions are resampled for every batch."""
        readout = self.readout
        if self.training and self.generator is not None:
            return readout_matrix(readout, sampled_positions(readout, self.generator))
        learning = self.training or learnt(readout.mu, readout.features)
        build = functools.partial(readout_matrix if learning else readout_places, readout, readout.mu[0, :, 0])
        return self._keeper(build, (readout.mu, readout.features), learning=learning)


def _spans(frames: int) -> tuple[int, int]:
    """Return the length and number of spans, at most SPAN frames each, that cover a clip."""
    spans = math.ceil(frames / SPAN)
    return math.ceil(frames / spans), spans
