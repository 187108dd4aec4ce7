"""First-order optimisers, one step at a time; everything is per sample and all memory is in `state`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Evaluate(Protocol):
    """Variable → objective `[B]` and its gradient, shaped like the variable.

    Where `samples` `[B]` are named, only their numbers are asked for.
    """

    def __call__(self, variable: Tensor, samples: Tensor | None = None, /) -> tuple[Tensor, Tensor]:
        """Return objective and gradient."""
        ...


def note(terms: dict[str, Tensor], found: Mapping[str, Tensor], samples: Tensor | None) -> None:
    """Put what was found `[B]` into the terms, for the `samples` `[B]` alone where they are named."""
    terms |= found if samples is None else {name: torch.where(samples, new, terms[name]) for name, new in found.items()}


class Optimiser(ABC):
    """Moves a variable whose first axis is the samples; samples never influence each other."""

    @abstractmethod
    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return the memory before the first step."""

    @abstractmethod
    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return the moved variable, the new memory, and the objective `[B]` that was seen on the way."""

    def done(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether more steps would change nothing; never, unless an optimiser knows better."""
        return False


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam (Kingma & Ba 2015)."""

    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return zero moments."""
        return {"m": torch.zeros_like(variable), "v": torch.zeros_like(variable), "t": torch.zeros(1)}

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Take one step."""
        value, g = evaluate(variable)
        t = float(state["t"]) + 1
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        v = self.beta2 * state["v"] + (1 - self.beta2) * g**2
        corrected = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
        moved = variable - self.learning_rate * corrected[0] / (corrected[1].sqrt() + self.epsilon)
        return moved, {"m": m, "v": v, "t": state["t"] + 1}, value


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Momentum with linear warm-up; with `ramp` the published schedule of Bauer et al. 2026.

    m ← β₁m + (1−β₁)g, m̂ = m/(1−β₁ⁱ⁺¹), step lr·min(i/warmup, 1)·m̂ for i = 0, 1, …, so the first update is nothing.
    With `ramp` the rate is also multiplied by √(1−0.999ⁱ⁺¹)/(1−β₁ⁱ⁺¹), Adam's bias correction without Adam's second
    moment, as published. With `skip_first` the first gradient does not enter the momentum either, as published: the
    first step that moves anything is then 0.1/0.19 of a unit step, since the correction counts an iteration too many.
    """

    learning_rate: float = 1.0
    beta1: float = 0.9
    warmup: int = 10
    ramp: bool = True
    skip_first: bool = False

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return zero momentum."""
        return {"m": torch.zeros_like(variable), "t": torch.zeros(1)}

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Take one step."""
        value, g = evaluate(variable)
        i = int(state["t"])
        if i == 0 and self.skip_first:
            return variable, {"m": state["m"], "t": state["t"] + 1}, value
        m = self.beta1 * state["m"] + (1 - self.beta1) * g
        moved = variable - self.rate(i) * m / (1 - self.beta1 ** (i + 1))
        return moved, {"m": m, "t": state["t"] + 1}, value

    def rate(self, i: int) -> float:
        """Return the learning rate of iteration `i`, counted from 0.

        >>> Momentum(1.0).rate(0), round(Momentum(1.0).rate(20000), 6)
        (0.0, 1.0)
        """
        warm = min(i / self.warmup, 1.0) if self.warmup > 0 else 1.0
        correction = (1 - 0.999 ** (i + 1)) ** 0.5 / (1 - self.beta1 ** (i + 1)) if self.ramp else 1.0
        return self.learning_rate * warm * correction
