"""Score distillation: input optimisation regularised by a denoiser (RED-diff: Mardani, Song, Kautz & Vahdat 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.base import Method, fitted
from recon.methods.diffusion.priors import ConditionedDenoiser, Diffusion, GaussianPrior, load_spectrum, starting_movie
from recon.methods.optimise.first_order import Adam
from recon.methods.optimise.gradient import movie_spectrum
from recon.methods.training_set import TrainingSet
from recon.priors.guidance import falling
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class RedDiff:
    """Adam on beta·misfit(x) + prior·Σ½‖x − x̂‖², x̂ = D(x + σε, σ) held fixed, with σ falling over `iterations` steps.

    The gradient of the second term, prior·(x − x̂) = prior·σ·(ε̂ − ε), is the published one with weight 1/SNR; it needs
    no derivative of the denoiser. The result is a variational mean, not a sample. Starts from the movie of `start` or
    the mean training frame.
    """

    denoiser: GaussianPrior | Diffusion = field(default_factory=GaussianPrior)
    iterations: int = 100
    highest: float = 0.8
    lowest: float = 0.03
    beta: float = 1.0
    prior: float = 100.0
    optimiser: Adam = field(default_factory=lambda: Adam(0.02))
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.iterations, self.highest, self.lowest)
        if min(self.beta, self.prior) < 0:
            raise InputError(
                f"red_diff: expected beta and prior of at least 0, got {self.beta:g} and {self.prior:g}; raise them"
            )

    def fit(self, training: TrainingSet) -> RedDiff:
        """Estimate the mean of the training movies; fit the start method and the denoiser's text decoder."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie after every step."""
        spectrum = load_spectrum(self.artefact, problem.device, method="red_diff")
        prior = self.denoiser.load(spectrum, problem)
        if state:
            memory, x = dict(state), state["variable"]
        else:
            x = starting_movie(problem, generator, spectrum, self.start)
            memory = self.optimiser.start(x) | {"step": torch.zeros(1, dtype=torch.long)}
        levels = falling(self.iterations, self.highest, self.lowest)
        for step, level in enumerate(levels[int(memory["step"]) :], int(memory["step"]) + 1):
            terms: dict[str, Tensor] = {}
            noise = level * torch.randn(x.shape, generator=generator).to(x)
            x, inner, _ = self.optimiser.step(x, memory, _Objective(self, problem, prior, noise, level, terms))
            memory |= inner | {"variable": x, "step": torch.tensor([step])}
            yield Iterate(x.clamp(0, 1), terms, dict(memory))


@dataclass(frozen=True)
class _Objective:
    """Objective and gradient of one step; records every term in `terms`."""

    method: RedDiff
    problem: Problem
    prior: ConditionedDenoiser
    noise: Tensor
    level: float
    terms: dict[str, Tensor]

    def __call__(self, x: Tensor, samples: Tensor | None = None, /) -> tuple[Tensor, Tensor]:
        clean = self.prior.denoiser(x + self.noise, x.new_full((len(x),), self.level), self.prior.condition)
        distance, gradient = x - clean, self.method.prior * (x - clean)
        self.terms["distance"] = 0.5 * self.method.prior * distance.square().flatten(1).sum(1)
        self.terms["misfit"] = torch.zeros(len(x), device=x.device)
        if self.method.beta:
            misfit, pull = self.problem.value_and_gradient(x)
            self.terms["misfit"] = self.method.beta * misfit
            gradient = gradient + self.method.beta * pull
        self.terms["gradient_norm"] = gradient.flatten(1).norm(dim=1)
        return self.terms["misfit"] + self.terms["distance"], gradient
