"""Annealed half-quadratic splitting: a denoiser as the prior, input optimisation as the data step.

DiffPIR (Zhu, Zhang, Liang, Cao, Wen, Timofte & Van Gool 2023), with a data step that an encoder asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from priors.guidance import falling
from priors.spectrum import Spectrum
from recon.learning_set import TrainingSet
from recon.methods.base import Method, fitted
from recon.methods.data_step import DataStep, left_uncertain
from recon.methods.denoisers import Diffusion, Told, Wiener, load_spectrum, starting_movie
from recon.methods.gradient import movie_spectrum
from recon.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class DiffPir:
    """For σ falling over `levels`: x̂ = D(x + ζσ·ε, σ), then x = argmin beta·misfit(x) + ½‖x − x̂‖² / C(σ) (`data`).

    C is the covariance that is left to the movie when it is known up to noise σ: Pσ²/(P+σ²) for every cosine
    coefficient of a Gaussian with the training movies' spectrum P ("spectrum"), or σ² alone, as published ("white").
    ζ is `noise`, ε is drawn. It starts from the movie of `start`, or from the mean training frame.
    """

    denoiser: Wiener | Diffusion = field(default_factory=Wiener)
    levels: int = 10
    highest: float = 0.5
    lowest: float = 0.03
    data: DataStep = field(default_factory=DataStep)
    noise: float = 1.0
    covariance: Literal["spectrum", "white"] = "spectrum"
    start: Method | None = None
    artefact: Path | None = None

    def __post_init__(self) -> None:
        falling(self.levels, self.highest, self.lowest)
        if self.noise < 0:
            raise ValueError(f"diffpir: expected noise of at least 0, got {self.noise:g}; raise it")

    def fit(self, training: TrainingSet) -> DiffPir:
        """Estimate the training movies' spectrum; fit the method that it starts from and what the denoiser is told."""
        start = self.start and fitted(self.start, training)
        return replace(self, denoiser=self.denoiser.fit(training), start=start, artefact=movie_spectrum(training))

    @torch.no_grad()
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the movie after every level."""
        spectrum = load_spectrum(self.artefact, problem.device, method="diffpir")
        told = self.denoiser.load(spectrum, problem)
        levels = falling(self.levels, self.highest, self.lowest)
        if state:
            x, done = state["variable"], int(state["step"])
        else:
            x, done = starting_movie(problem, generator, spectrum, self.start), 0
        for step, level in enumerate(levels[done:], done + 1):
            guess = self._guess(told, x, level, generator)
            x, terms = self.data(problem, guess, self._covariance(spectrum, level))
            yield Iterate(x.clamp(0, 1), terms, {"variable": x, "step": torch.tensor([step])})

    def _guess(self, told: Told, x: Tensor, level: float, generator: torch.Generator) -> Tensor:
        """Return what the prior makes of the movie once it is noised."""
        noisy = x + self.noise * level * torch.randn(x.shape, generator=generator).to(x)
        guess: Tensor = told.denoiser(noisy, torch.full((len(x),), level, device=x.device), told.condition)
        return guess

    def _covariance(self, spectrum: Spectrum, level: float) -> Tensor:
        white = self.covariance == "white"
        return left_uncertain(torch.full_like(spectrum.power, torch.inf) if white else spectrum.power, level)
