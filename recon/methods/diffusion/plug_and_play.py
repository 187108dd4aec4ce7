"""Plug-and-play ADMM: a denoiser replaces the proximal operator of the prior.

Venkatakrishnan, Bouman & Wohlberg 2013; Chan, Wang & Elgendy 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch

from recon.errors import InputError
from recon.errors.ranges import Count, Positive
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_passes, sampler_sees, starting_movie
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.prior import PixelPrior
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class PlugAndPlay:
    """x = argmin beta·misfit(x) + ‖x − v + u‖² / 2σ² (`data`), v = D(x + u, σ), u ← u + x − v, at one noise level σ.

    At a fixed point x = v. With the Wiener denoiser, the proximal operator of its Gaussian, the fixed point is the MAP
    movie for any σ, which then sets only the speed. Starts from the movie of `start` or the mean training frame.
    """

    title: ClassVar[str] = "plug-and-play ADMM"
    strength: ClassVar[Strength | None] = Strength("data.beta", (0.1, 0.3, 1.0, 3.0))
    needs: ClassVar[Needs] = Needs(clips=2)

    denoiser: PixelPrior = field(default_factory=GaussianPrior)
    iterations: Count = 30
    sigma: Positive = 0.1
    data: DataStep = field(default_factory=DataStep)
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.sigma <= 0:
            raise InputError(
                f"plug_and_play: expected at least 1 iteration and sigma above 0, got {self.iterations} and "
                f"{self.sigma:g}; raise them"
            )

    @property
    def iterates(self) -> int:
        """One per iteration."""
        return self.iterations

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.data.beta, start=self.start)

    @property
    def separable(self) -> bool:
        """True if each sample of a batch gives what it gives alone."""
        return self.start is None or self.start.separable

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        encoder = self.iterations * self.data.passes
        return sampler_passes(self.denoiser, encoder, [self.sigma] * self.iterations, start=self.start)

    def fit(self, training: TrainingSet) -> PlugAndPlay:
        """Estimate the spectrum of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield x, clipped to [0,1], after every iteration."""
        spectrum = load_spectrum(self.artefact, problem.device, method="plug_and_play")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        level = torch.full((problem.shape[0],), self.sigma, device=problem.device)
        white = torch.full_like(spectrum.power, self.sigma**2)
        if state:
            x, v, u = state["x"], state["v"], state["u"]
        else:
            x = starting_movie(problem, generator, spectrum, self.start)
            v, u = x, torch.zeros_like(x)
        for step in range(int(state["step"]) + 1 if state else 1, self.iterations + 1):
            x, terms = self.data(problem, v - u, white, start=x)
            v = denoiser(x + u, level, condition)
            u = u + x - v
            terms["apart"] = (x - v).square().flatten(1).mean(1).sqrt()
            kept = {"x": x, "v": v, "u": u, "step": torch.tensor([step])}
            yield Iterate(x.clamp(0, 1), terms, kept)
