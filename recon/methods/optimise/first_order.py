"""First-order optimisers, one step at a time; all quantities are per sample and all memory is in `state`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from recon.errors.ranges import Decay, Positive, Whole

TERM = "term."
"""Prefix of the terms in an optimiser's memory."""
Project = Callable[[Tensor], Tensor]
"""Variable → nearest allowed variable."""


def unconstrained(variable: Tensor) -> Tensor:
    """Return the variable: every value is allowed."""
    return variable


class Evaluation(NamedTuple):
    """Objective `[B]` at a variable, its gradient (shaped like the variable) and its named terms `[B]`."""

    value: Tensor
    gradient: Tensor
    terms: Mapping[str, Tensor] = MappingProxyType({})

    def memory(self) -> dict[str, Tensor]:
        """Return the evaluation as entries of an optimiser's memory."""
        known = {f"{TERM}{name}": value for name, value in self.terms.items()}
        return {"value": self.value, "gradient": self.gradient, **known}

    @classmethod
    def remembered(cls, memory: Mapping[str, Tensor]) -> Evaluation:
        """Return the evaluation in an optimiser's memory."""
        return cls(memory["value"], memory["gradient"], terms_in(memory))


class Evaluate(Protocol):
    """Variable → objective, gradient and terms.

    With `samples` `[B]`, only these samples are evaluated; the values of the others are undefined.
    """

    def __call__(self, variable: Tensor, samples: Tensor | None = None, /) -> Evaluation:
        """Return objective, gradient and terms."""
        ...


def terms_in(memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the terms `[B]` of the current variable in an optimiser's memory."""
    return {name.removeprefix(TERM): value for name, value in memory.items() if name.startswith(TERM)}


class Optimiser(ABC):
    """Moves a variable whose first axis is the samples; samples never influence each other."""

    @abstractmethod
    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return the memory before the first step."""

    @abstractmethod
    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate, *, project: Project = unconstrained
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return the moved and projected variable, the new memory, and the objective `[B]` of the moved variable.

        The memory holds the evaluation of the moved variable, so that the next step begins without one.
        """

    def done(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether further steps leave every sample where it is; never, unless overridden."""
        return False


def explicit_step(
    variable: Tensor,
    state: Mapping[str, Tensor],
    evaluate: Evaluate,
    *,
    move: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]],
    project: Project,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Take a step that needs only the gradient at the variable, then evaluate the moved variable.

    `move` returns the moved variable and the optimiser's own memory from the gradient. A variable that stands still is
    not evaluated again. N steps thus cost N + 1 evaluations, or N where the first step has length 0.
    """
    known = Evaluation.remembered(state) if "gradient" in state else evaluate(variable)
    moved, own = move(known.gradient)
    moved = project(moved)
    found = known if torch.equal(moved, variable) else evaluate(moved)
    return moved, own | found.memory(), found.value


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: Positive = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.999
    epsilon: Positive = 1e-8

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return zero moments."""
        return {"m": torch.zeros_like(variable), "v": torch.zeros_like(variable), "t": torch.zeros(1)}

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate, *, project: Project = unconstrained
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Take one step."""

        def move(g: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            t = float(state["t"]) + 1
            m = self.beta1 * state["m"] + (1 - self.beta1) * g
            v = self.beta2 * state["v"] + (1 - self.beta2) * g**2
            corrected = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
            moved = variable - self.learning_rate * corrected[0] / (corrected[1].sqrt() + self.epsilon)
            return moved, {"m": m, "v": v, "t": state["t"] + 1}

        return explicit_step(variable, state, evaluate, move=move, project=project)


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Momentum with linear warm-up; with `ramp` the published schedule of Bauer et al. 2026.

    m ← β₁m + (1−β₁)g, m̂ = m/(1−β₁ⁱ⁺¹), step lr·min(i/warmup, 1)·m̂ for i = 0, 1, …, so the first update is zero.
    `ramp` multiplies the rate by √(1−0.999ⁱ⁺¹)/(1−β₁ⁱ⁺¹), Adam's bias correction without Adam's second moment, as
    published. `skip_first` leaves the first gradient out of the momentum, as published: the first step that moves
    anything is then 0.1/0.19 of a unit step, since the correction counts an iteration too many.
    """

    learning_rate: Positive = 1.0
    beta1: Decay = 0.9
    warmup: Whole = 10
    ramp: bool = True
    skip_first: bool = False

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return zero momentum."""
        return {"m": torch.zeros_like(variable), "t": torch.zeros(1)}

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate, *, project: Project = unconstrained
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Take one step."""
        i = int(state["t"])

        def move(g: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            if i == 0 and self.skip_first:
                return variable, {"m": state["m"], "t": state["t"] + 1}
            m = self.beta1 * state["m"] + (1 - self.beta1) * g
            moved = variable - self.rate(i) * m / (1 - self.beta1 ** (i + 1))
            return moved, {"m": m, "t": state["t"] + 1}

        return explicit_step(variable, state, evaluate, move=move, project=project)

    def rate(self, i: int) -> float:
        """Return the learning rate of iteration `i`, counted from 0.

        >>> Momentum(1.0).rate(0), round(Momentum(1.0).rate(20000), 6)
        (0.0, 1.0)
        """
        warm = min(i / self.warmup, 1.0) if self.warmup > 0 else 1.0
        correction = (1 - 0.999 ** (i + 1)) ** 0.5 / (1 - self.beta1 ** (i + 1)) if self.ramp else 1.0
        return self.learning_rate * warm * correction
