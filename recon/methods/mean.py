"""The training mean frame: the score of knowing nothing about the clip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from recon.artefacts import load_artefact, save_artefact
from recon.learning_set import TrainingSet
from recon.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Mean:
    """Mean frame of the training movies, shown for the whole clip: chance."""

    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> Mean:
        """Average all training frames."""
        path = training.path({"name": "mean"}, uses=())
        if not path.exists():
            began, movies = time.monotonic(), [trial.movie for trial in training.trials()]
            save_artefact({"mean": torch.cat(movies, 1).mean(1)}, path, seconds=time.monotonic() - began)
        return replace(self, artefact=path)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the mean frame once."""
        if state:
            return
        mean = load_artefact(self.artefact, method="mean")["mean"].to(problem.device)
        movie = mean[None, :, None].expand(problem.shape).clone()
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})
