"""Mean training frame: chance level, without any knowledge of the clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.methods.artefacts import load_artefact
from recon.methods.base import only_iterate
from recon.methods.facts import MEAN_FRAME, Sees, Strength
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Mean:
    """Mean frame of the training movies, for every frame of the clip."""

    title: ClassVar[str] = "mean training frame"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=1)
    sees: ClassVar[Sees] = Sees(learnt=(MEAN_FRAME,))
    separable: ClassVar[bool] = True

    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> Mean:
        """Average all training frames."""

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            return {"mean": torch.cat([trial.movie for trial in training.trials()], 1).mean(1)}

        return replace(self, artefact=training.artefact("mean", "frame", learn, code=[__name__], uses=()))

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the mean frame once."""
        if state:
            return
        mean = load_artefact(self.artefact, method="mean")["mean"].to(problem.device)
        movie = mean[None, :, None].expand(problem.shape).clone()
        yield only_iterate(problem, movie)
