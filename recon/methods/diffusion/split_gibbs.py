"""Split Gibbs sampling: alternating draws from the prior and the likelihood; slow, asymptotically exact.

Vono, Dobigeon & Chainais 2019; with a denoiser Coeurdoux, Dobigeon & Chainais 2024. Metropolis-adjusted Langevin steps:
Roberts & Tweedie 1996.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Positive, Whole
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import conditioned, load_spectrum, sampler_passes, sampler_sees, starting_movie
from recon.methods.diffusion.sampling import ancestral, renoised, steps_down
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.base import Denoiser
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import falling
from recon.priors.prior import PixelPrior
from recon.problem.problem import Problem
from recon.types import Iterate, State, Uncertainty

TARGET_ACCEPTANCE = 0.57
"""Optimal acceptance rate of Metropolis-adjusted Langevin steps (Roberts & Rosenthal 1998)."""


@dataclass(frozen=True)
class SplitGibbs:
    """Draws x and z in turn from p(x, z) ∝ exp(−beta·misfit(x) − ‖x − z‖² / 2ρ²) · prior(z); ρ → 0 is the posterior.

    z: stochastic denoising from noise ρ to `lowest` in `levels` steps. x: `langevin` Metropolis-adjusted Langevin
    steps, with a step size adapted during the first `burn` iterations and fixed afterwards. The result is the mean of
    all x after burn-in, with their standard deviation per pixel. The misfit of the current x is then the term
    "sample_misfit"; only the last iterate has the mean's own "misfit". Exact for an exact denoiser as ρ → 0 and
    `levels`, `iterations` → ∞.
    """

    title: ClassVar[str] = "split Gibbs sampling"
    strength: ClassVar[Strength | None] = Strength("beta", (0.1, 0.3, 1.0, 3.0))
    needs: ClassVar[Needs] = Needs(clips=2)
    separable: ClassVar[bool] = False

    denoiser: PixelPrior = field(default_factory=GaussianPrior)
    iterations: Count = 200
    burn: Whole = 50
    rho: Positive = 0.1
    levels: Count = 10
    lowest: Positive = 0.01
    langevin: Count = 5
    beta: NonNegative = 1.0
    step: Positive = 0.1
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.burn < self.iterations or min(self.levels, self.langevin) < 1 or self.step <= 0:
            raise InputError(
                f"split_gibbs: expected burn below iterations, levels and langevin of at least 1 and step above 0, got "
                f"{self.burn}, {self.iterations}, {self.levels}, {self.langevin} and {self.step:g}; correct them"
            )
        list(steps_down(self.levels, self.rho, self.lowest))

    @property
    def iterates(self) -> int:
        """One per iteration."""
        return self.iterations

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser, strength=self.beta, start=self.start)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        encoder = self.iterations * (self.langevin + 1) + 1
        levels = falling(self.levels, self.rho, self.lowest) * self.iterations
        return sampler_passes(self.denoiser, encoder, levels, start=self.start)

    def fit(self, training: TrainingSet) -> SplitGibbs:
        """Estimate the spectrum of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the running mean after every iteration; during burn-in the sample itself."""
        spectrum = load_spectrum(self.artefact, problem.device, method="split_gibbs")
        denoiser, condition = conditioned(self.denoiser, spectrum, problem)
        kept = dict(state) if state else self._begin(starting_movie(problem, generator, spectrum, self.start))
        for number in range(int(kept["step"]) + 1, self.iterations + 1):
            z = self._sample_prior(denoiser, kept["x"], condition, generator)
            kept |= self._sample_likelihood(problem, z, kept, generator, adapting=number <= self.burn)
            kept["step"] = torch.tensor([number])
            shown, uncertainty = kept["x"], None
            if number > self.burn:
                count, distance = number - self.burn, kept["x"] - kept["mean"]
                kept["mean"] = kept["mean"] + distance / count
                kept["squares"] = kept["squares"] + distance * (kept["x"] - kept["mean"])
                uncertainty, shown = Uncertainty((kept["squares"] / max(count - 1, 1)).sqrt(), count), kept["mean"]
            terms = {"accepted": kept["accepted"], "langevin_step": kept["length"]}
            terms["misfit" if number <= self.burn else "sample_misfit"] = kept["misfit"]
            if number == self.iterations:
                terms["misfit"] = self.beta * problem.energy(shown)
            yield Iterate(shown.clamp(0, 1), terms, dict(kept), uncertainty)

    def _begin(self, x: Tensor) -> dict[str, Tensor]:
        blank, length = torch.zeros_like(x), x.new_full((len(x),), self.step)
        return {"x": x, "mean": blank, "squares": blank, "length": length, "step": torch.zeros(1, dtype=torch.long)}

    def _sample_prior(
        self, denoiser: Denoiser, x: Tensor, condition: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return a sample of the clean movie given x, its version with noise ρ."""
        for _, now, then in steps_down(self.levels, self.rho, self.lowest):
            clean = denoiser(x, x.new_full((len(x),), now), condition)
            x = renoised(x, clean, (now, then), noise=ancestral(now, then), generator=generator)
        return x

    def _sample_likelihood(
        self, problem: Problem, z: Tensor, kept: dict[str, Tensor], generator: torch.Generator, *, adapting: bool
    ) -> dict[str, Tensor]:
        """Return x after Langevin steps around z in w = (x − z) / ρ, with its misfit, acceptance rate and step size."""
        x, length, accepted = kept["x"], kept["length"], torch.zeros_like(kept["length"])
        energy, gradient, misfit = self._potential(problem, x, z)
        for _ in range(self.langevin):
            tau = length.reshape(-1, 1, 1, 1, 1)
            noise = torch.randn(x.shape, generator=generator).to(x)
            proposed = x + self.rho * (-tau * gradient + (2 * tau).sqrt() * noise)
            new_energy, new_gradient, new_misfit = self._potential(problem, proposed, z)
            back = (x - proposed) / self.rho + tau * new_gradient
            forth = (2 * tau).sqrt() * noise
            log_ratio = energy - new_energy + ((forth**2 - back**2) / (4 * tau)).flatten(1).sum(1)
            accepted_now = torch.rand(len(x), generator=generator).to(x).log() < log_ratio
            wide = accepted_now.reshape(-1, 1, 1, 1, 1)
            x, gradient = torch.where(wide, proposed, x), torch.where(wide, new_gradient, gradient)
            energy, misfit = (
                torch.where(accepted_now, new_energy, energy),
                torch.where(accepted_now, new_misfit, misfit),
            )
            accepted = accepted + accepted_now.to(x) / self.langevin
        if adapting:
            length = length * torch.exp(0.5 * (accepted - TARGET_ACCEPTANCE))
        return {"x": x, "length": length, "accepted": accepted, "misfit": self.beta * misfit}

    def _potential(self, problem: Problem, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return beta·misfit + ½‖w‖² `[B]`, its gradient in w, and the misfit."""
        misfit, pull = problem.value_and_gradient(x)
        w = (x - z) / self.rho
        return self.beta * misfit + 0.5 * (w**2).flatten(1).sum(1), self.beta * self.rho * pull + w, misfit
