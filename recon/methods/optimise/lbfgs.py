"""L-BFGS for a batch of independent problems (Nocedal & Wright 2006, algorithms 7.4 and 3.1).

`torch.optim.LBFGS` treats a batch as one problem: one curvature, one step length, and the hardest clip stalls all.
Here every sample has its own curvature pairs and its own backtracking, and settles on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from recon.errors.ranges import Count, Decay, Positive, Whole
from recon.methods.optimise.first_order import Evaluate, Evaluation, Optimiser, Project, unconstrained


@dataclass(frozen=True)
class Lbfgs(Optimiser):
    """Batched L-BFGS with Armijo backtracking; `first_step` is the root-mean-square length of the very first step.

    A sample is settled when no step of steepest descent finds anything lower; it no longer moves.
    """

    memory: Count = 8
    first_step: Positive = 0.1
    backtracks: Whole = 6
    armijo: Decay = 1e-4

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return an empty memory; the first call of `step` evaluates the start."""
        flat = variable.flatten(1)
        pairs = {f"{name}{index}": flat.new_zeros(0) for name in "sy" for index in range(self.memory)}
        settled = torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
        return pairs | {"curvature": flat.new_zeros(self.memory, len(flat)), "settled": settled}

    def done(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether every sample is settled."""
        return bool(state["settled"].all())

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate, *, project: Project = unconstrained
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Move every sample along its own quasi-Newton direction, as far as its own line search allows.

        The evaluation in the memory is that of the moved variable before its projection.
        """
        x, shape = variable.flatten(1), variable.shape
        known = Evaluation.remembered(state) if "gradient" in state else _flat(evaluate, x, shape)
        direction, slope = self._direction(known.gradient, state)
        moved, found = self._search(
            x, known, direction, slope, waiting=~state["settled"], evaluate=partial(_flat, evaluate, shape=shape)
        )
        memory = self._remember(state, moved - x, found.gradient - known.gradient) | found.memory()
        # A step of steepest descent that finds nothing lower would fail again: the next step is the same.
        memory["settled"] = (moved == x).all(1) & (state["curvature"] <= 0).all(0)
        return project(moved.reshape(shape)), memory, found.value

    def _direction(self, g: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        s, y = ([state[f"{name}{index}"] for index in range(self.memory)] for name in "sy")
        direction = -two_loop(g, s, y, state["curvature"])
        fresh = (state["curvature"] <= 0).all(0)
        scale = self.first_step * g.shape[1] ** 0.5 / g.norm(dim=1).clamp_min(1e-30)
        steepest = -g * scale[:, None]
        slope = (direction * g).sum(1)
        bad = fresh | ~(slope < 0)
        direction = torch.where(bad[:, None], steepest, direction)
        return direction, (direction * g).sum(1)

    def _search(
        self,
        x: Tensor,
        known: Evaluation,
        direction: Tensor,
        slope: Tensor,
        *,
        waiting: Tensor,
        evaluate: Callable[..., Evaluation],
    ) -> tuple[Tensor, Evaluation]:
        """Backtrack: the step of every sample without enough descent is quartered once, then halved.

        Only the `waiting` samples `[B]` move; after the first trial only those still waiting are evaluated. Samples
        that find nothing lower keep x and its evaluation.
        """
        length = torch.ones_like(known.value)
        best, found = x, known
        for attempt in range(self.backtracks if bool(waiting.any()) else 0):
            trial = torch.where(waiting[:, None], x + length[:, None] * direction, best)
            tried = evaluate(trial, samples=waiting if attempt else None)
            enough = waiting & (tried.value <= known.value + self.armijo * length * slope)
            if attempt == 0 and bool(enough.all()):
                return trial, tried
            best, found = torch.where(enough[:, None], trial, best), _merged(enough, tried, found)
            waiting = waiting & ~enough
            if not bool(waiting.any()):
                break
            length = torch.where(waiting, length * (0.25 if attempt == 0 else 0.5), length)
        return best, found

    def _remember(self, state: dict[str, Tensor], s: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Append the new pair; a sample without positive curvature, or that stood still, has none in its place.

        The pairs s0, y0 … (oldest first) are renamed, not copied.
        """
        sy = (s * y).sum(1)
        good = sy > 1e-10 * s.norm(dim=1) * y.norm(dim=1)
        stood = s.abs().amax(1) == 0
        curvature = torch.where(good, sy, torch.zeros_like(sy))
        kept = torch.where(stood, torch.zeros_like(state["curvature"]), state["curvature"])
        moved = {f"{name}{i}": state[f"{name}{i + 1}"] for name in "sy" for i in range(self.memory - 1)}
        newest = {f"s{self.memory - 1}": s, f"y{self.memory - 1}": y}
        return moved | newest | {"curvature": torch.cat([kept[1:], curvature[None]])}


def two_loop(g: Tensor, s: Sequence[Tensor], y: Sequence[Tensor], curvature: Tensor) -> Tensor:
    """Return H·g `[B,D]` for M pairs s, y `[B,D]` (oldest first) and curvatures sᵀy `[M,B]`; pairs ≤ 0 are skipped.

    Pairs that no sample has may be empty.
    """
    inverse = torch.where(curvature > 0, 1 / curvature.clamp_min(1e-30), torch.zeros_like(curvature))
    known = [i for i in range(len(s)) if bool((curvature[i] > 0).any())]
    q, alphas = g, dict[int, Tensor]()
    for i in reversed(known):
        alphas[i] = inverse[i] * (s[i] * q).sum(1)
        q = torch.addcmul(q, -alphas[i][:, None], y[i])
    q = q * _initial_scale(y, curvature, known)[:, None]
    for i in known:
        beta = inverse[i] * (y[i] * q).sum(1)
        q = torch.addcmul(q, (alphas[i] - beta)[:, None], s[i])
    return q


def _initial_scale(y: Sequence[Tensor], curvature: Tensor, known: list[int]) -> Tensor:
    """Return γ = sᵀy/yᵀy `[B]` of each sample's newest valid pair; 1 without one."""
    scale, missing = torch.ones_like(curvature[0]), torch.ones_like(curvature[0], dtype=torch.bool)
    for i in reversed(known):
        newest = missing & (curvature[i] > 0)
        if bool(newest.any()):
            scale = torch.where(newest, curvature[i] / (y[i] ** 2).sum(1).clamp_min(1e-30), scale)
            missing = missing & ~newest
    return scale


def _merged(samples: Tensor, new: Evaluation, old: Evaluation) -> Evaluation:
    """Return the new evaluation of some samples `[B]` and the old one of the others."""
    terms = {name: torch.where(samples, value, old.terms[name]) for name, value in new.terms.items()}
    gradient = torch.where(samples[:, None], new.gradient, old.gradient)
    return Evaluation(torch.where(samples, new.value, old.value), gradient, terms)


def _flat(evaluate: Evaluate, x: Tensor, shape: torch.Size, samples: Tensor | None = None) -> Evaluation:
    variable = x.reshape(shape)
    found = evaluate(variable) if samples is None else evaluate(variable, samples)
    return Evaluation(found.value.detach(), found.gradient.detach().flatten(1), found.terms)
