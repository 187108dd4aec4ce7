"""Diffusion posterior sampling (DPS: Chung, Kim, Mccann, Klasky & Ye 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative, Positive
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_passes, sampler_sees
from recon.methods.diffusion.sampling import begin, pulled, renoised, steps_down, terms_of
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import falling
from recon.priors.prior import Prior
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Dps:
    """Denoising steps with the posterior score ∇log p(x) − beta·∇E(D(x, σ)), from σ of `highest` to `lowest`.

    E is the misfit of the denoised estimate; its gradient passes through the denoiser. The published step divides by
    the norm of the residual, which exists only for a squared error. This step follows the likelihood, with its root
    mean square clipped at `trust`·σ: beyond, the denoised estimate is no longer informative. A fraction `noise` of the
    noise is fresh at every level.
    """

    title: ClassVar[str] = "diffusion posterior sampling"
    strength: ClassVar[Strength | None] = Strength("beta", (0.1, 0.3, 1.0, 3.0))
    needs: ClassVar[Needs] = Needs(clips=2)
    separable: ClassVar[bool] = False

    denoiser: Prior = field(default_factory=GaussianPrior)
    levels: Count = 50
    highest: Positive = 1.0
    lowest: Positive = 0.02
    beta: NonNegative = 1.0
    trust: NonNegative = 0.5
    noise: Fraction = 0.5
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if min(self.beta, self.trust) < 0 or not 0 <= self.noise <= 1:
            raise InputError(
                f"dps: expected beta and trust of at least 0 and noise in 0–1, got {self.beta:g}, {self.trust:g} and "
                f"{self.noise:g}; correct it"
            )

    @property
    def iterates(self) -> int:
        """One per noise level."""
        return self.levels

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.beta)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        levels = falling(self.levels, self.highest, self.lowest)
        return sampler_passes(self.denoiser, (self.levels + 1) * bool(self.beta), levels)

    def fit(self, training: TrainingSet) -> Dps:
        """Estimate the spectrum of the training movies, whose mean is the start; fit the denoiser's text decoder."""
        return replace(self, denoiser=self.denoiser.fit(training), artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the clean estimate of every level with its misfit; the last is moved along the misfit's gradient."""
        spectrum = load_spectrum(self.artefact, problem.device, method="dps")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        start = partial(spectrum.mean.expand, problem.shape)
        x, done = begin(denoiser, start, state, level=self.highest, generator=generator)
        for step, now, then in steps_down(self.levels, self.highest, self.lowest, done=done):
            pull = pulled(problem, denoiser, x, x.new_full((len(x),), now), condition, strength=self.beta)
            clean = pull.clean - self._clipped(self.beta * now**2 * pull.gradient, now)
            x = renoised(x, clean, (now, then), noise=self.noise, generator=generator)
            movie = pull.movie if then else denoiser.decode(clean)
            terms = terms_of(problem, pull, movie if self.beta and not then else None)
            yield Iterate(movie.clamp(0, 1), terms, {"variable": x, "step": torch.tensor([step])})

    def _clipped(self, move: Tensor, level: float) -> Tensor:
        """Return each sample's step, with its root mean square clipped at trust·σ."""
        length = move.flatten(1).square().mean(1).sqrt().clamp_min(1e-12)
        return move * (self.trust * level / length).clamp_max(1).reshape(-1, *[1] * (move.dim() - 1))
