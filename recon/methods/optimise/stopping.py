"""Stopping without ground truth: keep, per sample, the iterate that best predicts held-out neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors.ranges import Count
from recon.methods.requirements import Needs
from recon.problem.problem import Problem

STOP = "stop_term."
"""Prefix of the best iterate's terms in the memory."""


@dataclass(frozen=True)
class SelectionStop:
    """The misfit of the *selection* neurons is measured after the first and every `every`-th iteration.

    Per sample, the iterate of the lowest misfit is kept with its terms. A run ends when no sample has improved for
    `patience` measurements.
    """

    needs: ClassVar[Needs] = Needs(selection=True)

    every: Count = 2
    patience: Count = 3

    def start(self, movie: Tensor) -> dict[str, Tensor]:
        """Return the memory before the first iterate."""
        unseen = movie.new_full((len(movie),), torch.inf)
        return {"stop_misfit": unseen, "stop_movie": movie.clone(), "stop_waited": torch.zeros_like(unseen)}

    def watch(
        self, problem: Problem, movie: Tensor, terms: Mapping[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> dict[str, Tensor]:
        """Return the memory after iterate `step`, given its movie and its terms."""
        if step > 1 and step % self.every:
            return state
        misfit = problem.selection_misfit(movie)
        better, unknown = misfit < state["stop_misfit"], torch.full_like(misfit, torch.nan)
        kept = {name: torch.where(better, value, state.get(STOP + name, unknown)) for name, value in terms.items()}
        return {STOP + name: value for name, value in kept.items()} | {
            "stop_misfit": torch.where(better, misfit, state["stop_misfit"]),
            "stop_movie": torch.where(better.reshape(-1, 1, 1, 1, 1), movie, state["stop_movie"]),
            "stop_waited": torch.where(better, torch.zeros_like(misfit), state["stop_waited"] + 1),
        }

    def best(self, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return each sample's best movie and the terms of that movie, its selection misfit included."""
        terms = {name.removeprefix(STOP): value for name, value in state.items() if name.startswith(STOP)}
        return state["stop_movie"], terms | {"selection_misfit": state["stop_misfit"]}

    def done(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether every sample has gone `patience` measurements without improvement."""
        return bool((state["stop_waited"] >= self.patience).all())
