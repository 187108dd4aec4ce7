"""A tiny case of energy-guided diffusion, for our sampler and for the public one: network, linear energy, start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.encoders.base import freeze
from recon.encoders.linear import Linear
from recon.methods.artefacts import save_artefact
from recon.priors.base import Denoiser
from recon.priors.prior import Prior
from recon.priors.spectrum import Spectrum
from recon.problem.problem import Observation, Problem
from recon.types import Measurement, State

FRAMES, HEIGHT, WIDTH, NEURONS = 2, 3, 4, 5
SHAPE = (1, 1, FRAMES, HEIGHT, WIDTH)
LEVELS, HIGHEST, LOWEST = 8, 4.0, 0.03
"""Noise levels of a movie in [0,1]; geometric, as ours are."""
ENERGY_SCALE, SEED = 1.5, 3
"""Length of a step as the public code counts it, and the seed of the noise of both samplers."""
PIXELS = FRAMES * HEIGHT * WIDTH


def numbers(*shape: int, seed: int) -> Tensor:
    """Return fixed normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TinyNetwork(Denoiser):
    """Two layers between x and its clean estimate; at low noise the estimate is x."""

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate."""
        level = sigma.reshape(-1, 1)
        total = (level**2 + 0.04).sqrt()
        centred = (x - 0.5).flatten(1)
        hidden = torch.tanh(centred / total @ numbers(PIXELS, 9, seed=1) / 3 + numbers(9, seed=4))
        seen = 0.2 * torch.tanh(hidden @ numbers(9, PIXELS, seed=2) / 2)
        return 0.5 + (centred * 0.04 / total**2 + seen * level / total).reshape(x.shape)


@dataclass(frozen=True)
class TinyPrior(Prior):
    """The network as a prior."""

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = False

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        """Return the network."""
        return TinyNetwork()


def filters() -> tuple[Tensor, Tensor]:
    """Return filters `[N,H,W]` and the responses `[1,N,T]` that a movie is to explain."""
    return numbers(NEURONS, HEIGHT, WIDTH, seed=5) / 3, numbers(1, NEURONS, FRAMES, seed=6)


def misfit(rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    """Return half the squared distance `[B]` of rates and responses."""
    return (0.5 * (rates - responses) ** 2 * mask).flatten(1).sum(1)


def problem() -> Problem:
    """Return the problem."""
    weights, responses = filters()
    everyone, nobody = torch.ones(NEURONS, dtype=torch.bool), torch.zeros(NEURONS, dtype=torch.bool)
    seen = Measurement(responses, None, everyone, nobody, torch.ones(1, FRAMES, dtype=torch.bool))
    return Problem(misfit, (Observation(freeze(Linear(weights[:, None, None])), seen),))


def start() -> State:
    """Return the state before the first level: grey under noise of the highest level."""
    return {"variable": 0.5 + HIGHEST * numbers(*SHAPE, seed=7), "step": torch.tensor([0])}


def artefact(folder: Path) -> Path:
    """Save a spectrum, which the tiny prior does not use."""
    path = folder / "spectrum.safetensors"
    save_artefact({"power": torch.ones(SHAPE[2:]), "mean": torch.full((HEIGHT, WIDTH), 0.5)}, path)
    return path
