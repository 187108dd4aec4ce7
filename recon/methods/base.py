"""What every method is: a generator of iterates; and what a method that learns is given and has beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State

POSING = "recon.problem.conditions"
"""Module that poses the problems of validation clips: its code counts in what they choose."""


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters; called, it yields iterates.

    Contract: started again from the `state` of iterate k it goes on as if it had never stopped.
    """

    def __call__(
        self, problem: Problem, generator: torch.Generator, state: State | None = None
    ) -> Iterator[Iterate]: ...


@runtime_checkable
class Learner(Protocol):
    """A method that learns before it is run, from a training set, and keeps what it learnt as an artefact."""

    def fit(self, training: TrainingSet) -> Self:
        """Return the ready method."""
        ...


def fitted(method: Method, training: TrainingSet) -> Method:
    """Return the method ready to run: fitted when it learns, unchanged otherwise."""
    return method.fit(training) if isinstance(method, Learner) else method


def responses_of(problem: Problem, neurons: Tensor) -> Tensor:
    """Return the responses `[B,n,T]` of the neurons `[N]` that a decoder learnt from, averaged over observations.

    Observations of other animals are left out. Neurons that are not to be fitted here are zero. Raises InputError where
    the problem has other neurons.
    """
    found = _mean_responses(problem)
    if found.shape[1] != len(neurons):
        raise InputError(f"decoder: expected {len(neurons)} neurons, got {found.shape[1]}; fit it again")
    return found[:, neurons.bool().to(found.device)]


def _mean_responses(problem: Problem) -> Tensor:
    own = problem.observations[0].animal
    measurements = [seen.measurement for seen in problem.observations if seen.animal == own]
    counts = {measurement.responses.shape[1] for measurement in measurements}
    if len(counts) != 1:
        raise InputError(f"decoder: expected the same neurons in all observations, got {sorted(counts)}; run one each")
    responses = torch.stack([m.responses * m.neurons[:, None] for m in measurements]).mean(0)
    return responses * measurements[0].frames[:, None]


def only_iterate(problem: Problem, movie: Tensor) -> Iterate:
    """Return the one iterate of a decoder that is done with it: the movie and its misfit."""
    return Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})


def validation_pairs(training: TrainingSet) -> list[tuple[Tensor, Tensor]]:
    """Return responses `[B,n,T]` and movies `[B,C,T,H,W]` of the validation clips on the device of the training."""
    posed = training.validation() if training.validation is not None else ()
    return [
        (responses_of(problem, training.neurons).to(training.device), movie.to(training.device))
        for problem, movie in posed
    ]
