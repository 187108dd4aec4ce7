"""The training mean frame: the score of knowing nothing about the clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.methods.lagged import artefact_path, load_artefact, save_artefact
from recon.problem import Problem
from recon.types import Iterate, Recording, State


@dataclass(frozen=True)
class Mean:
    """Mean frame of the training movies, shown for the whole clip: chance."""

    artefact: Path | None = None

    def fit(self, recording: Recording, *, neurons: Tensor, artefacts: Path, frames: int) -> Mean:
        """Average all training frames."""
        path = artefact_path(artefacts, recording, neurons=neurons[:0], settings={"name": "mean"})
        if not path.exists():
            movies = [recording.trial(index).movie for index in recording.trials("train")]
            save_artefact({"mean": torch.cat(movies, 1).mean(1)}, path)
        return replace(self, artefact=path)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the mean frame once."""
        if state:
            return
        mean = load_artefact(self.artefact, method="mean")["mean"].to(problem.device)
        movie = mean[None, :, None].expand(problem.shape).clone()
        yield Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})
