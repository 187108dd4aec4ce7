"""One clip for the published loop: a narrow network, responses, behavior, mask; shared by tests and benchmarks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.encoders.base import Encoder, freeze
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.methods.optimise.first_order import Momentum
from recon.methods.optimise.gradient import Gradient
from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem
from recon.types import Measurement

dwise_worlds: Any = importlib.import_module("worlds.dwiseneuro")

MOUSE, GREY, WHITE = 1, 127.5, 255.0
FRAMES, NEURONS, ITERATIONS = 40, 30, 20
"""40 = 32 + 8 frames: the last sub-clip counts twice."""
NARROW: dict[str, Any] = {
    **dwise_worlds.NARROW,
    "readout_outputs": (5, NEURONS),
    "core_features": (4, 8),
    "spatial_strides": (2, 2),
    "expansion_ratio": 2,
    "se_reduce_ratio": 4,
}
PRESETS = Path(__file__).parents[2] / "configs" / "methods"
RUNS = {"published": (1000.0, 1.0), "saturated": (50000.0, 0.003)}
"""Learning rate and gradient clip: as published, and with both gradient and movie clipping active."""


@dataclass(frozen=True)
class World:
    """Responses `[N,T]`, behavior `[4,T]` and transparency mask `[64,64]` of a clip."""

    frames: int
    neurons: int

    @property
    def behavior(self) -> Tensor:
        states: Tensor = dwise_worlds.trial(self.frames)[1]
        return states

    @property
    def responses(self) -> Tensor:
        """Exponential, a fifth of them negative, which the loss must clip."""
        generator = torch.Generator().manual_seed(2)
        return -3 * torch.rand(self.neurons, self.frames, generator=generator).clamp_min(1e-6).log() - 0.7

    @property
    def mask(self) -> Tensor:
        """A ramp that passes 0.5 on a disc, partly in the border above the screen."""
        rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        return 1.5 - ((rows - 24) ** 2 + (columns - 36) ** 2).sqrt() / 20

    def problem(self, encoder: Encoder, device: torch.device | None = None) -> Problem:
        """Return the clip's problem on a device; only pixels with a mask of 0.5 or more are updated."""
        fit = torch.ones(self.neurons, dtype=torch.bool)
        frames = torch.ones(1, self.frames, dtype=torch.bool)
        measurement = Measurement(self.responses[None], self.behavior[None], fit, ~fit, frames)
        device = device or torch.device("cpu")
        observation = Observation(encoder, measurement.to(device))
        return Problem(FIDELITIES["poisson"](), (observation,), update_mask=(self.mask >= 0.5).to(device))


def narrow_encoder() -> DwiseNeuro:
    """Return the narrow network with the weights used for the public code's golden values."""
    return random_encoder(NARROW)


def random_encoder(settings: Mapping[str, Any], **layers: Any) -> DwiseNeuro:
    """Return a network with weights drawn in order of their names; `layers` are settings of its computation."""
    network = DwiseNetwork(DwiseSettings(**settings))
    network.load_state_dict(dwise_worlds.random_state({k: v.shape for k, v in network.state_dict().items()}))
    encoder = DwiseNeuro(network.eval(), MOUSE, **layers)
    freeze(encoder)
    return encoder


def preset(name: str, iterations: int, *, run: str = "published") -> Gradient:
    """Return a preset with the iterations, learning rate and gradient clip of a run."""
    from recon import config

    method: Gradient = config.build("method", config.load(PRESETS / f"{name}.yaml"))
    rate, clip = RUNS[run]
    if method.subclips is None or not isinstance(method.optimiser, Momentum):
        raise ValueError(f"preset: expected sub-clips and momentum, got {name}")
    optimiser, subclips = method.optimiser, replace(method.subclips, clip=clip)
    optimiser = optimiser if run == "published" else replace(optimiser, learning_rate=rate / 255)
    return replace(method, iterations=iterations, optimiser=optimiser, subclips=subclips)


def canvas(method: Gradient, problem: Problem) -> Tensor:
    """Return the canvas `[T,64,64]` in 0–255 after the method's last step."""
    *_, last = method(problem, torch.Generator())
    return last.state["variable"][0, 0] * 255
