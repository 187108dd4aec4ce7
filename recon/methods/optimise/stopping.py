"""Stopping without ground truth: keep, per sample, the iterate that best predicts neurons no gradient has seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.problem.problem import Problem


@dataclass(frozen=True)
class SelectionStop:
    """The misfit of the *selection* neurons is measured after the first and every `every`-th iteration.

    The iterate of its minimum is kept, per sample. A run ends when no sample has improved for `patience` measurements.
    """

    every: int = 2
    patience: int = 3

    def start(self, movie: Tensor) -> dict[str, Tensor]:
        """Return the memory before the first iterate."""
        unseen = movie.new_full((len(movie),), torch.inf)
        return {"stop_misfit": unseen, "stop_movie": movie.clone(), "stop_waited": torch.zeros_like(unseen)}

    def watch(self, problem: Problem, movie: Tensor, state: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Return the memory after iterate `step`."""
        if step > 1 and step % self.every:
            return state
        misfit = problem.selection_misfit(movie)
        better = misfit < state["stop_misfit"]
        return {
            "stop_misfit": torch.where(better, misfit, state["stop_misfit"]),
            "stop_movie": torch.where(better.reshape(-1, 1, 1, 1, 1), movie, state["stop_movie"]),
            "stop_waited": torch.where(better, torch.zeros_like(misfit), state["stop_waited"] + 1),
        }

    def done(self, state: dict[str, Tensor]) -> bool:
        """Return whether every sample has waited long enough."""
        return bool((state["stop_waited"] >= self.patience).all())
