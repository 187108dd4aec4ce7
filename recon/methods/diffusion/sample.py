"""Unguided samples of the prior: from text alone, or from an existing reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, Positive
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import conditioned, load_spectrum, prior_sees, sampler_passes, starting_movie
from recon.methods.diffusion.sampling import begin, steps_down, unguided
from recon.methods.facts import MEAN_FRAME, Passes, Sees, Strength
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import falling
from recon.priors.prior import Prior
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Sample:
    """Samples the prior by denoising alone, without encoder or optimisation.

    From the mean training frame plus noise of `highest` it is a sample of the prior given its text; with decoded text,
    activity → caption embedding → diffusion. From the movie of `start` (a decoder's, a latent's) plus that noise it
    resamples the details hidden by the noise (SDEdit: Meng et al. 2022). `noise` is the stochasticity (0: DDIM, 1:
    ancestral).
    """

    title: ClassVar[str] = "sample of the prior"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(clips=2)
    separable: ClassVar[bool] = False

    denoiser: Prior = field(default_factory=GaussianPrior)
    levels: Count = 30
    highest: Positive = 10.0
    lowest: Positive = 0.02
    noise: Fraction = 0.0
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if not 0 <= self.noise <= 1:
            raise InputError(f"sample: expected noise in 0–1, got {self.noise:g}; correct it")

    @property
    def iterates(self) -> int:
        """One per noise level."""
        return self.levels

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return prior_sees(self.denoiser) | (Sees(learnt=(MEAN_FRAME,)) if self.start is None else self.start.sees)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        levels = falling(self.levels, self.highest, self.lowest)
        return sampler_passes(self.denoiser, 1, levels, start=self.start)

    def fit(self, training: TrainingSet) -> Sample:
        """Estimate the mean of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the denoised estimate of every level; the last includes its misfit."""
        spectrum = load_spectrum(self.artefact, problem.device, method="sample")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        start = partial(starting_movie, problem, generator, spectrum, self.start)
        x, done = begin(denoiser, start, state, level=self.highest, generator=generator)
        steps = steps_down(self.levels, self.highest, self.lowest, done=done)
        for level in unguided(denoiser, x, condition, steps, noise=self.noise, generator=generator):
            movie = denoiser.decode(level.clean).clamp(0, 1)
            terms = {} if level.then else {"misfit": problem.energy(movie)}
            yield Iterate(movie, terms, {"variable": level.x, "step": torch.tensor([level.step])})
