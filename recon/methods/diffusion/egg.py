"""Energy-guided diffusion (EGG: Pierzchlewicz, Willeke, Nix, Elumalai, Restivo, Shinn … Sinz 2023)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import torch

from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative, Positive
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_passes, sampler_sees
from recon.methods.diffusion.sampling import ancestral, begin, pulled, renoised, steps_down, terms_of, unit
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
class Egg:
    """Denoising steps from σ of `highest` to `lowest`, each but the last followed by x ← x − length·∇E/‖∇E‖.

    E is the misfit of the denoised estimate. Its gradient passes through the denoiser and is normalised per sample, so
    that the length of a step does not depend on the size of the misfit. With `step` constant, the length is `scale`, an
    L2 norm over pixels in [0,1]. With `step` published, `scale` is the `energy_scale` of the public code, whose steps
    are constant in the variance-preserving variable of a diffusion network: the length is scale·√(u² + σ²) at the
    next σ, with the denoiser's `network_unit` u (½ for movies, [−1,1] to the network). The last level ends at its clean
    estimate, as in the public scripts. `noise` is the stochasticity (1: ancestral, as published; 0: deterministic).
    """

    title: ClassVar[str] = "energy-guided diffusion"
    strength: ClassVar[Strength | None] = Strength("scale", (0.3, 1.0, 3.0, 10.0))
    needs: ClassVar[Needs] = Needs(clips=2)
    separable: ClassVar[bool] = False

    denoiser: Prior = field(default_factory=GaussianPrior)
    levels: Count = 50
    highest: Positive = 1.0
    lowest: Positive = 0.02
    scale: NonNegative = 3.0
    noise: Fraction = 1.0
    step: Literal["published", "constant"] = "constant"
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if self.scale < 0 or not 0 <= self.noise <= 1:
            raise InputError(
                f"egg: expected scale of at least 0 and noise in 0–1, got {self.scale:g} and {self.noise:g}; correct it"
            )

    @property
    def iterates(self) -> int:
        """One per noise level."""
        return self.levels

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.scale)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        levels = falling(self.levels, self.highest, self.lowest)
        return sampler_passes(self.denoiser, self.levels * bool(self.scale), levels)

    def fit(self, training: TrainingSet) -> Egg:
        """Estimate the spectrum of the training movies, whose mean is the start; fit the denoiser's text decoder."""
        return replace(self, denoiser=self.denoiser.fit(training), artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the denoised estimate of every level."""
        spectrum = load_spectrum(self.artefact, problem.device, method="egg")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        start = partial(spectrum.mean.expand, problem.shape)
        x, done = begin(denoiser, start, state, level=self.highest, generator=generator)
        for step, now, then in steps_down(self.levels, self.highest, self.lowest, done=done):
            pull = pulled(problem, denoiser, x, x.new_full((len(x),), now), condition, strength=self.scale)
            x = renoised(x, pull.clean, (now, then), noise=self.noise * ancestral(now, then), generator=generator)
            if then:
                x = x - self.length(then, denoiser.network_unit) * unit(pull.gradient)
            terms = terms_of(problem, pull, None)
            yield Iterate(pull.movie.clamp(0, 1), terms, {"variable": x, "step": torch.tensor([step])})

    def length(self, sigma: float, network_unit: float) -> float:
        """Return the L2 norm of the guidance step to noise level `sigma`, in the units of the denoised variable."""
        if self.step == "constant":
            return self.scale
        return self.scale * math.hypot(network_unit, sigma)
