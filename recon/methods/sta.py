"""Spike-triggered sum: each response paints its neuron's spike-triggered average (de Boer & Kuyper 1968)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.methods.base import mean_responses
from recon.methods.lagged import (
    Lags,
    artefact_path,
    load_artefact,
    measure_scaling,
    save_artefact,
    training_pairs,
)
from recon.methods.ridge import decode
from recon.problem import Problem
from recon.types import Iterate, Recording, State


@dataclass(frozen=True)
class Sta:
    """movie(t) = m + g·Σ y(t+lag)·STA(lag), with the gain g fitted by least squares on the training trials."""

    lags: Lags = field(default_factory=Lags)
    root: bool = False
    artefact: Path | None = None

    def fit(self, recording: Recording, *, neurons: Tensor, artefacts: Path, frames: int) -> Sta:
        """Measure the averages, then the gain that minimises the squared error."""
        settings = {"name": "sta", "lags": asdict(self.lags), "root": self.root}
        path = artefact_path(artefacts, recording, neurons=neurons, settings=settings)
        if not path.exists():
            scaling = measure_scaling(recording, neurons=neurons, root=self.root)
            mean, cross, count = torch.zeros(1), torch.zeros(1), 0
            for features, frame in training_pairs(recording, neurons=neurons, lags=self.lags, scaling=scaling):
                mean, cross, count = mean + frame.sum(0), cross + features.T @ frame, count + len(frame)
            mean = mean / count
            weights = cross / count
            over, under = 0.0, 0.0
            for features, frame in training_pairs(recording, neurons=neurons, lags=self.lags, scaling=scaling):
                drawn = features @ weights
                over += float(((frame - mean) * drawn).sum())
                under += float((drawn**2).sum())
            learnt = {"weights": weights * (over / under), "mean": mean, "scale_mean": scaling.mean}
            save_artefact({**learnt, "scale_std": scaling.std, "neurons": neurons}, path)
        return replace(self, artefact=path)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        if state:
            return
        learnt = load_artefact(self.artefact, method="sta")
        movie = decode(mean_responses(problem), learnt, lags=self.lags, root=self.root, shape=problem.shape)
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})
