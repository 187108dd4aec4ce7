"""A method in one file: what somebody would add to `recon/methods/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch

from recon.errors.ranges import NonNegative
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_sees
from recon.methods.facts import Sees, Strength
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.prior import PixelPrior
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class ToyMethod:
    """The denoised mean training frame after one step down the misfit's gradient."""

    title: ClassVar[str] = "toy step"
    strength: ClassVar[Strength | None] = Strength("beta", (0.001, 0.01))
    separable: ClassVar[bool] = True

    denoiser: PixelPrior = field(default_factory=GaussianPrior)
    beta: NonNegative = 0.001
    artefact: Path | None = None

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.beta)

    def fit(self, training: TrainingSet) -> ToyMethod:
        """Estimate the mean of the training movies."""
        return replace(self, denoiser=self.denoiser.fit(training), artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie once."""
        if state:
            return
        spectrum = load_spectrum(self.artefact, problem.device, method="toy")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        clean = denoiser(spectrum.mean.expand(problem.shape), torch.full(problem.shape[:1], 0.1), condition)
        movie = (clean - self.beta * problem.value_and_gradient(clean)[1] if self.beta else clean).clamp(0, 1)
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})
