"""Spike-triggered sum: each response adds its neuron's spike-triggered average (de Boer & Kuyper 1968)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.methods.facts import PAIRS, Sees, Strength
from recon.methods.linear.decode import decoded_once
from recon.methods.linear.lags import Lags, measure_scaling, training_pairs
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Sta:
    """movie(t) = m + g·Σ y(t+lag)·STA(lag), with the gain g fitted by least squares on the training trials."""

    title: ClassVar[str] = "spike-triggered sum"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=1)
    sees: ClassVar[Sees] = Sees(responses=True, learnt=(PAIRS,))
    separable: ClassVar[bool] = True

    lags: Lags = field(default_factory=lambda: Lags(bases=4))
    root: bool = False
    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> Sta:
        """Measure the averages, then the least-squares gain."""

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            scaling = measure_scaling(training, root=self.root)
            learnt = triggered_average(training_pairs(training, lags=self.lags, scaling=scaling))
            return learnt | {"scale_mean": scaling.mean, "scale_std": scaling.std, "neurons": training.neurons}

        return replace(self, artefact=training.artefact("sta", replace(self, artefact=None), learn, code=[__name__]))

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        yield from decoded_once(self, problem, state, name="sta", root=self.root)


def triggered_average(pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the averages `[features, pixels]` times their gain, and the mean frame.

    The gain Σ⟨frame − m, decoded⟩/Σ‖decoded‖² is estimated on every eighth trial, accurate to three digits.
    """
    mean, cross, count, kept = torch.zeros(1), torch.zeros(1), 0, []
    for number, (features, frames) in enumerate(pairs):
        mean, cross, count = mean + frames.sum(0), cross + features.T @ frames, count + len(frames)
        if number % 8 == 0:
            kept.append((features, frames))
    mean, weights = mean / count, cross / count
    decoded = [(features @ weights, frames - mean) for features, frames in kept]
    over = sum(float((frames * movie).sum()) for movie, frames in decoded)
    under = sum(float((movie**2).sum()) for movie, _ in decoded)
    return {"weights": weights * (over / under), "mean": mean}
