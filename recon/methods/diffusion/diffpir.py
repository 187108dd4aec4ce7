"""Annealed half-quadratic splitting: a denoiser as the prior, input optimisation as the data step.

DiffPIR (Zhu, Zhang, Liang, Cao, Wen, Timofte & Van Gool 2023), with a data step for non-linear encoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Positive
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_passes, sampler_sees, starting_movie
from recon.methods.diffusion.sampling import ancestral, renoised, steps_down
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.optimise.data_step import DataStep, left_uncertain
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import falling
from recon.priors.prior import PixelPrior
from recon.priors.spectrum import Spectrum
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class DiffPir:
    """For σ falling over `levels`: x̂ = D(x_σ, σ), then x = argmin beta·misfit(x) + ½‖x − x̂‖² / C(σ) (`data`).

    C is the posterior covariance of the movie given x_σ. "spectrum": Pσ²/(P+σ²) per cosine coefficient, for a Gaussian
    with the training movies' spectrum P. "white": σ², as published. With `carried`, as published, x_σ is x plus noise
    carried over from the last level, a fraction `noise` of it fresh (0: DDIM, 1: ancestral): a posterior sample, exact
    for a Gaussian prior, "spectrum" and many levels. Without `carried`, x_σ = x + `noise`·σ·ε with fresh ε; noise 0 is
    DPIR (Zhang et al. 2022), which converges to the posterior mode. Starts from the movie of `start` or the mean
    training frame.
    """

    title: ClassVar[str] = "half-quadratic splitting with a denoiser"
    strength: ClassVar[Strength | None] = Strength("data.beta", (0.1, 0.3, 1.0, 3.0))
    needs: ClassVar[Needs] = Needs(clips=2)

    denoiser: PixelPrior = field(default_factory=GaussianPrior)
    levels: Count = 10
    highest: Positive = 0.5
    lowest: Positive = 0.03
    data: DataStep = field(default_factory=DataStep)
    noise: NonNegative = 1.0
    carried: bool = False
    covariance: Literal["spectrum", "white"] = "spectrum"
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if self.noise < 0 or (self.carried and self.noise > 1):
            raise InputError(
                f"diffpir: expected noise of at least 0, at most 1 where it is carried, got {self.noise:g}; correct it"
            )

    @property
    def iterates(self) -> int:
        """One per noise level."""
        return self.levels

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.data.beta, start=self.start)

    @property
    def separable(self) -> bool:
        """True if each sample of a batch gives what it gives alone."""
        return not self.noise and not self.carried and (self.start is None or self.start.separable)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        each = self.data.passes
        return sampler_passes(
            self.denoiser, self.levels * each, falling(self.levels, self.highest, self.lowest), start=self.start
        )

    def fit(self, training: TrainingSet) -> DiffPir:
        """Estimate the spectrum of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie after every level."""
        spectrum = load_spectrum(self.artefact, problem.device, method="diffpir")
        prior = conditioned(self.denoiser, spectrum, problem)
        if state:
            noisy, done = state["noisy"], int(state["step"])
        else:
            start = starting_movie(problem, generator, spectrum, self.start)
            share = 1.0 if self.carried else self.noise
            noisy, done = start + share * self.highest * _noise_like(start, generator), 0
        for step, now, then in steps_down(self.levels, self.highest, self.lowest, done=done):
            guess = prior.denoiser(noisy, torch.full((len(noisy),), now, device=noisy.device), prior.condition)
            x, terms = self.data(problem, guess, self._covariance(spectrum, now))
            if self.carried:
                share = self.noise * ancestral(now, then)
                noisy = renoised(noisy, x, (now, then), noise=share, generator=generator)
            else:
                noisy = x + self.noise * then * _noise_like(x, generator)
            yield Iterate(x.clamp(0, 1), terms, {"variable": x, "noisy": noisy, "step": torch.tensor([step])})

    def _covariance(self, spectrum: Spectrum, level: float) -> Tensor:
        white = self.covariance == "white"
        return left_uncertain(torch.full_like(spectrum.power, torch.inf) if white else spectrum.power, level)


def _noise_like(movie: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(movie.shape, generator=generator).to(movie)
