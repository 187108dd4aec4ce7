"""The encoder of the demo: factorised convolutional core, full Gaussian readout, behavior gain, pupil shifter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder, Spec
from encoders.core import BLOCK, Core, CoreSettings, temporal_filters
from encoders.modulation import BehaviorGain, pupil_shift
from encoders.readout import SparseReadout, gaussian_readout, readout_matrix, sampled_readout
from encoders.wrapped import chosen_behavior

SPAN = 45
"""Frames that run through the core at a time: their features stay in the processor's cache."""
FLOOR = 1e-4
"""Lowest rate in units of a neuron's scale; keeps the Poisson likelihood finite."""


@dataclass(frozen=True)
class CoreReadoutSettings:
    """Sizes; `mean` and `std` normalise the movie, `shifter` moves receptive fields with the pupil."""

    core: CoreSettings = field(default_factory=CoreSettings)
    mean: float = 0.45
    std: float = 0.25
    init_sigma: float = 0.2
    shifter: bool = False


class CoreReadout(Encoder):
    """rates = scale · gain(behavior) · (ELU(⟨features at μ, weights⟩ + bias) + 1), causal over `lags` frames.

    Frames before the movie count as frames of mean luminance. While it learns, positions are drawn around μ
    (Lurz et al. 2021); frozen, the readout is one sparse matrix.
    """

    Settings = CoreReadoutSettings

    def __init__(self, spec: Spec, settings: CoreReadoutSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or CoreReadoutSettings()
        self.spec = replace(spec, context=(self.settings.core.lags - 1, 0))
        if spec.channels != 1:
            raise ValueError(f"channels: expected 1 (grey), got {spec.channels}; convert the movie to grey first")
        neurons = len(spec.neuron_ids)
        height, width = (math.ceil(side / BLOCK) for side in spec.frame_size)
        with torch.random.fork_rng(devices=[]):
            self.core = Core(self.settings.core)
            self.gain = BehaviorGain(len(spec.behavior), neurons) if spec.behavior else None
            self.shifter = pupil_shift(spec.behavior) if self.settings.shifter else None
        size = (self.settings.core.hidden, height, width)
        self.readout: Any = gaussian_readout(size, neurons, init_sigma=self.settings.init_sigma)
        self.register_buffer("scale", torch.ones(neurons))
        self.generator: torch.Generator | None = None
        self._matrix: tuple[Any, Tensor, Tensor] | None = None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all starting weights from a generator, which training also uses for the sampled positions."""
        self.generator = generator
        self.core.initialise(generator)
        with torch.no_grad():
            self.readout.features.normal_(0, self.settings.core.hidden**-0.5, generator=generator)
            self.readout.sigma.normal_(0, self.settings.init_sigma, generator=generator)
            self.readout.mu.uniform_(-0.8, 0.8, generator=generator)
            self.readout.bias.zero_()
            if self.gain is not None:
                self.gain.initialise(generator)

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]`."""
        batch, _, frames, _, _ = movie.shape
        chosen = chosen_behavior(self.spec, behavior)
        shift = None if self.shifter is None or chosen is None else self.shifter(chosen).flatten(0, 1)
        drive = self._drive(movie, shift).unflatten(0, (batch, frames))
        rates = functional.elu(drive) + (1 + FLOOR)
        if self.gain is not None and chosen is not None:
            rates = rates * self.gain(chosen)
        return (rates * self.scale).transpose(1, 2)

    def regulariser(self, *, smooth: float, sparse: float) -> Tensor:
        """Return `smooth` × roughness of the filters + `sparse` × mean absolute feature weight of a neuron."""
        return smooth * self.core.smoothness() + sparse * self.readout.features.abs().sum(1).mean()

    def _drive(self, movie: Tensor, shift: Tensor | None) -> Tensor:
        """Return `[B·T,N]`; frames run in spans, the last of them filled up with frames that are cut away."""
        batch, _, frames, _, _ = movie.shape
        spans = math.ceil(frames / SPAN)
        span = math.ceil(frames / spans)
        before, after = self.spec.context[0], spans * span - frames
        normal = (movie[:, 0] - self.settings.mean) / self.settings.std
        planes = temporal_filters(functional.pad(normal, (0, 0, 0, 0, before, after)), self.core.temporal, span=span)
        if shift is not None:
            return self._read(self.core(planes[:, :frames].flatten(0, 1)), shift)
        parts = [self._read(self.core(part), None) for part in planes.flatten(0, 1).split(span)]
        return torch.cat(parts).unflatten(0, (batch, -1))[:, :frames].flatten(0, 1)

    def _read(self, features: Tensor, shift: Tensor | None) -> Tensor:
        if self.training and self.generator is not None:
            return sampled_readout(self.readout, features, self.generator, shift)
        if shift is not None or self._learning():
            drive: Tensor = self.readout(features, sample=False, shift=shift)
            return drive
        matrix, transposed = self._frozen_readout()
        flat = features.permute(0, 2, 3, 1).flatten(1)
        product: Tensor = SparseReadout.apply(flat, matrix, transposed)  # autograd functions are untyped
        return product + self.readout.bias

    def _learning(self) -> bool:
        return torch.is_grad_enabled() and self.readout.features.requires_grad

    def _frozen_readout(self) -> tuple[Tensor, Tensor]:
        parts = (self.readout.mu, self.readout.features)
        key = tuple((part.data_ptr(), part._version, part.dtype, part.device) for part in parts)
        if self._matrix is None or self._matrix[0] != key:
            matrix = readout_matrix(self.readout)
            self._matrix = (key, matrix.to_sparse_csr(), matrix.t().coalesce().to_sparse_csr())
        return self._matrix[1:]
