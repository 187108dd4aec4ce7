"""Spike-triggered sum: each response paints its neuron's spike-triggered average (de Boer & Kuyper 1968)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.artefacts import load_artefact, save_artefact
from recon.lagged import Lags, measure_scaling, training_pairs
from recon.learning_set import TrainingSet
from recon.methods.base import mean_responses
from recon.methods.ridge import decode
from recon.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Sta:
    """movie(t) = m + g·Σ y(t+lag)·STA(lag), with the gain g fitted by least squares on the training trials."""

    lags: Lags = field(default_factory=lambda: Lags(bases=4))
    root: bool = False
    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> Sta:
        """Measure the averages, then the gain that minimises the squared error."""
        path = training.path({"name": "sta", "lags": asdict(self.lags), "root": self.root})
        if not path.exists():
            began = time.monotonic()
            scaling = measure_scaling(training, root=self.root)
            learnt = triggered_average(training_pairs(training, lags=self.lags, scaling=scaling))
            scales = {"scale_mean": scaling.mean, "scale_std": scaling.std, "neurons": training.neurons}
            save_artefact(learnt | scales, path, seconds=time.monotonic() - began)
        return replace(self, artefact=path)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        learnt = load_artefact(self.artefact, method="sta")
        movie = decode(mean_responses(problem), learnt, lags=self.lags, root=self.root, shape=problem.shape)
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})


def triggered_average(pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return the averages `[features, pixels]` times their gain, and the mean frame.

    The gain Σ⟨frame − m, drawn⟩/Σ‖drawn‖² needs the drawn movies only in two sums; an eighth of the frames gives
    them to three digits.
    """
    mean, cross, count, kept = torch.zeros(1), torch.zeros(1), 0, []
    for number, (features, frames) in enumerate(pairs):
        mean, cross, count = mean + frames.sum(0), cross + features.T @ frames, count + len(frames)
        if number % 8 == 0:
            kept.append((features, frames))
    mean, weights = mean / count, cross / count
    drawn = [(features @ weights, frames - mean) for features, frames in kept]
    over = sum(float((frames * movie).sum()) for movie, frames in drawn)
    under = sum(float((movie**2).sum()) for movie, _ in drawn)
    return {"weights": weights * (over / under), "mean": mean}
