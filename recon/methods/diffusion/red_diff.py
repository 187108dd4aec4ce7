"""Score distillation: input optimisation regularised by a denoiser (RED-diff: Mardani, Song, Kautz & Vahdat 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Positive
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import (
    ConditionedDenoiser,
    conditioned,
    load_spectrum,
    sampler_passes,
    sampler_sees,
    starting_movie,
)
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.optimise.first_order import Adam, Evaluation, terms_in
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import falling
from recon.priors.prior import PixelPrior
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class RedDiff:
    """Adam on beta·misfit(x) + prior·Σ½‖x − x̂‖², x̂ = D(x + σε, σ) held fixed, with σ falling over `iterations` steps.

    The gradient of the second term, prior·(x − x̂) = prior·σ·(ε̂ − ε), is the published one with weight 1/SNR; it needs
    no derivative of the denoiser. The result is a variational mean, not a sample. Starts from the movie of `start` or
    the mean training frame. The distance term of an iterate is that of its own movie under the next step's noise; the
    last iterate has it without noise.
    """

    title: ClassVar[str] = "score distillation"
    strength: ClassVar[Strength | None] = Strength("beta", (0.1, 0.3, 1.0, 3.0))
    needs: ClassVar[Needs] = Needs(clips=2)
    separable: ClassVar[bool] = False

    denoiser: PixelPrior = field(default_factory=GaussianPrior)
    iterations: Count = 100
    highest: Positive = 0.8
    lowest: Positive = 0.03
    beta: NonNegative = 1.0
    prior: NonNegative = 100.0
    optimiser: Adam = field(default_factory=lambda: Adam(0.02))
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.iterations, self.highest, self.lowest)
        if min(self.beta, self.prior) < 0:
            raise InputError(
                f"red_diff: expected beta and prior of at least 0, got {self.beta:g} and {self.prior:g}; raise them"
            )

    @property
    def iterates(self) -> int:
        """One per iteration."""
        return self.iterations

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return sampler_sees(self.denoiser if self.prior else None, strength=self.beta, start=self.start)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        levels = [*falling(self.iterations, self.highest, self.lowest), self.lowest]
        return sampler_passes(self.denoiser, len(levels) * bool(self.beta), levels, start=self.start)

    def fit(self, training: TrainingSet) -> RedDiff:
        """Estimate the mean of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie after every step."""
        spectrum = load_spectrum(self.artefact, problem.device, method="red_diff")
        prior = conditioned(self.denoiser, spectrum, problem)
        if state:
            memory, x = dict(state), state["variable"]
        else:
            x = starting_movie(problem, generator, spectrum, self.start)
            memory = self.optimiser.start(x) | {"step": torch.zeros(1, dtype=torch.long)}
            memory |= self._pull(problem, prior, x, step=0, generator=generator).memory()
        for step in range(int(memory["step"]) + 1, self.iterations + 1):
            evaluate = partial(self._pull, problem, prior, step=step, generator=generator)
            x, inner, _ = self.optimiser.step(x, memory, evaluate)
            memory |= inner | {"variable": x, "step": torch.tensor([step])}
            yield Iterate(x.clamp(0, 1), terms_in(memory), dict(memory))

    def _pull(
        self,
        problem: Problem,
        prior: ConditionedDenoiser,
        x: Tensor,
        samples: Tensor | None = None,
        /,
        *,
        step: int,
        generator: torch.Generator,
    ) -> Evaluation:
        """Return objective, gradient and terms after step `step`, with the level and noise of the next step."""
        level = falling(self.iterations, self.highest, self.lowest)[min(step, self.iterations - 1)]
        noisy = x + level * torch.randn(x.shape, generator=generator).to(x) if step < self.iterations else x
        distance = x - prior.denoiser(noisy, x.new_full((len(x),), level), prior.condition)
        terms = {"distance": 0.5 * self.prior * distance.square().flatten(1).sum(1), "misfit": x.new_zeros(len(x))}
        gradient = self.prior * distance
        if self.beta:
            misfit, pull = problem.value_and_gradient(x)
            terms["misfit"] = self.beta * misfit
            gradient = gradient + self.beta * pull
        terms["gradient_norm"] = gradient.flatten(1).norm(dim=1)
        return Evaluation(terms["misfit"] + terms["distance"], gradient, terms)
