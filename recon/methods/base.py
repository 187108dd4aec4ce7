"""Methods are generators of iterates; some learn from a training set first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.facts import Passes, Sees, Strength
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State

POSING = "recon.problem.conditions"
"""Module that poses the problems of validation clips: its code is part of every artefact that they choose."""


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass whose fields are its hyper-parameters; called, it yields iterates.

    Contract: restarted from the `state` of iterate k, it continues as if never stopped. An iterate's terms are those of
    its own movie before clipping to [0,1].

    Its class declares a `title`, the `strength` that weighs activity against the prior, if any, what it `sees`, and
    whether its samples are `separable`: computed one by one they equal those of a batch. A method around others derives
    the last two from theirs.
    """

    title: ClassVar[str]
    strength: ClassVar[Strength | None]

    @property
    def sees(self) -> Sees: ...

    @property
    def separable(self) -> bool: ...

    def __call__(
        self, problem: Problem, generator: torch.Generator, state: State | None = None
    ) -> Iterator[Iterate]: ...


@runtime_checkable
class Learner(Protocol):
    """A method that learns from a training set before it is run and keeps the result as an artefact."""

    def fit(self, training: TrainingSet) -> Self:
        """Return the ready method."""
        ...


@runtime_checkable
class Iterative(Protocol):
    """A method that knows beforehand how many iterates it yields at most, for each encoder if it takes them in turn."""

    @property
    def iterates(self) -> int | None: ...


def planned_iterates(method: object) -> int | None:
    """Return the largest number of iterates that a method yields; None where it is not known beforehand."""
    return method.iterates if isinstance(method, Iterative) else None


@runtime_checkable
class Costed(Protocol):
    """A method that plans more than one pass, or none; any other one passes the encoder once, for its misfit."""

    @property
    def passes(self) -> Passes: ...


def passes_of(method: object) -> Passes:
    """Return the planned passes of a method over a clip: of each encoder, and of a denoiser."""
    return method.passes if isinstance(method, Costed) else Passes(1.0)


def fitted(method: Method, training: TrainingSet) -> Method:
    """Return the method ready to run: fitted if it learns, else unchanged."""
    return method.fit(training) if isinstance(method, Learner) else method


def last_iterate(iterates: Iterable[Iterate]) -> Iterate:
    """Return the last iterate of a run; earlier iterates are freed during the run."""
    kept = deque(iterates, maxlen=1)
    if not kept:
        raise InputError("method: expected at least one iterate, got none; allow at least one iteration")
    return kept.pop()


def responses_of(problem: Problem, neurons: Tensor) -> Tensor:
    """Return the responses `[B,n,T]` of a decoder's neurons `[N]`, averaged over observations of its animal.

    Neurons outside the problem's *fit* set are zero. Raises InputError if the problem has other neurons.
    """
    found = _mean_responses(problem)
    if found.shape[1] != len(neurons):
        raise InputError(f"decoder: expected {len(neurons)} neurons, got {found.shape[1]}; fit it again")
    return found[:, neurons.bool().to(found.device)]


def _mean_responses(problem: Problem) -> Tensor:
    measurements = [seen.measurement for seen in problem.observations if not seen.animal]
    if not measurements:
        raise InputError(
            f"decoder: expected responses of its own animal, got those of {problem.observations[0].animal!r}; "
            "decode each animal by itself, or use a method that is guided by encoders"
        )
    counts = {measurement.responses.shape[1] for measurement in measurements}
    if len(counts) != 1:
        raise InputError(f"decoder: expected the same neurons in all observations, got {sorted(counts)}; run one each")
    responses = torch.stack([m.responses * m.neurons[:, None] for m in measurements]).mean(0)
    return responses * measurements[0].frames[:, None]


def only_iterate(problem: Problem, movie: Tensor) -> Iterate:
    """Return a decoder's only iterate: the movie and its misfit."""
    return Iterate(movie, {"misfit": problem.energy(movie)}, {"done": torch.ones(1)})


def validation_pairs(training: TrainingSet) -> list[tuple[Tensor, Tensor]]:
    """Return responses `[B,n,T]` and movies `[B,C,T,H,W]` of the validation clips on the training device."""
    posed = training.validation() if training.validation is not None else ()
    return [
        (responses_of(problem, training.neurons).to(training.device), movie.to(training.device))
        for problem, movie in posed
    ]
