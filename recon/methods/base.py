"""What every method is: a generator of iterates; and what a method that learns has beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from recon.problem import Problem
from recon.types import Iterate, Recording, State


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
    """A method that learns from the training trials of a recording and keeps what it learnt as an artefact."""

    def fit(self, recording: Recording, *, neurons: Tensor, artefacts: Path, frames: int) -> Self:
        """Return the ready method; `neurons` `[N]` marks those it may use, `frames` is the length of the clips."""
        ...


def fitted(method: Method, recording: Recording, *, neurons: Tensor, artefacts: Path, frames: int) -> Method:
    """Return the method ready to run: fitted when it learns, unchanged otherwise."""
    if isinstance(method, Learner):
        return method.fit(recording, neurons=neurons, artefacts=artefacts, frames=frames)
    return method


def mean_responses(problem: Problem) -> Tensor:
    """Return fit neurons' responses `[B,N,T]`, averaged over the observations (repeats), other neurons zeroed.

    For decoders that read responses directly; they need the same neurons in every observation.
    """
    measurements = [observation.measurement for observation in problem.observations]
    counts = {measurement.responses.shape[1] for measurement in measurements}
    if len(counts) != 1:
        raise ValueError(f"decoder: expected the same neurons in all observations, got {sorted(counts)}; run one each")
    responses = torch.stack([m.responses * m.neurons[:, None] for m in measurements]).mean(0)
    return responses * measurements[0].frames[:, None]
