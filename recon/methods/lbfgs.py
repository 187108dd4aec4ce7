"""L-BFGS for a batch of independent problems (Nocedal & Wright 2006, algorithms 7.4 and 3.1).

`torch.optim.LBFGS` treats a batch as one problem: one curvature, one step length, and the hardest clip stalls all.
Here every sample has its own curvature pairs, its own backtracking and its own right to stand still.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.methods.optimisers import Evaluate, Optimiser


@dataclass(frozen=True)
class Lbfgs(Optimiser):
    """Batched L-BFGS with Armijo backtracking; `first_step` is the root-mean-square length of the very first step."""

    memory: int = 8
    first_step: float = 0.1
    backtracks: int = 6
    armijo: float = 1e-4

    def start(self, variable: Tensor) -> dict[str, Tensor]:
        """Return an empty memory; the first call of `step` evaluates the start."""
        flat = variable.flatten(1)
        pairs = flat.new_zeros(self.memory, *flat.shape)
        empty = {"s": pairs, "y": pairs.clone(), "curvature": flat.new_zeros(self.memory, len(flat))}
        return empty | {"value": flat.new_full((len(flat),), torch.inf), "gradient": torch.zeros_like(flat)}

    def step(
        self, variable: Tensor, state: dict[str, Tensor], evaluate: Evaluate
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Move every sample along its own quasi-Newton direction, as far as its own line search allows."""
        x = variable.flatten(1)
        value, g = state["value"], state["gradient"]
        if bool(torch.isinf(value).all()):
            value, g = _flat(evaluate, x, variable.shape)
        direction, slope = self._direction(g, state)
        moved, new_value, new_g = self._search(x, value, g, direction, slope, shape=variable.shape, evaluate=evaluate)
        memory = self._remember(state, moved - x, new_g - g)
        return moved.reshape(variable.shape), memory | {"value": new_value, "gradient": new_g}, new_value

    def _direction(self, g: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        direction = -two_loop(g, state["s"], state["y"], state["curvature"])
        fresh = (state["curvature"] <= 0).all(0)
        scale = self.first_step * g.shape[1] ** 0.5 / g.norm(dim=1).clamp_min(1e-30)
        steepest = -g * scale[:, None]
        slope = (direction * g).sum(1)
        bad = fresh | ~(slope < 0)
        direction = torch.where(bad[:, None], steepest, direction)
        return direction, (direction * g).sum(1)

    def _search(
        self, x: Tensor, value: Tensor, g: Tensor, direction: Tensor, slope: Tensor, *,
        shape: torch.Size, evaluate: Evaluate
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Halve (at first: quarter) the step of the samples that did not descend enough; the rest keep theirs."""
        length = torch.ones_like(value)
        best, best_value, best_g = x.clone(), value.clone(), g.clone()
        waiting = torch.ones_like(value, dtype=torch.bool)
        for attempt in range(self.backtracks):
            trial = torch.where(waiting[:, None], x + length[:, None] * direction, best)
            trial_value, trial_g = _flat(evaluate, trial, shape)
            enough = waiting & (trial_value <= value + self.armijo * length * slope)
            best = torch.where(enough[:, None], trial, best)
            best_value = torch.where(enough, trial_value, best_value)
            best_g = torch.where(enough[:, None], trial_g, best_g)
            waiting = waiting & ~enough
            if not bool(waiting.any()):
                break
            length = torch.where(waiting, length * (0.25 if attempt == 0 else 0.5), length)
        return best, best_value, best_g

    def _remember(self, state: dict[str, Tensor], s: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Push the new pair; a sample without positive curvature (or that stood still) gets an empty one."""
        sy = (s * y).sum(1)
        good = sy > 1e-10 * s.norm(dim=1) * y.norm(dim=1)
        stood = s.abs().amax(1) == 0
        curvature = torch.where(good, sy, torch.zeros_like(sy))
        kept = torch.where(stood, torch.zeros_like(state["curvature"]), state["curvature"])
        return {
            "s": torch.cat([state["s"][1:], torch.where(good[:, None], s, torch.zeros_like(s))[None]]),
            "y": torch.cat([state["y"][1:], torch.where(good[:, None], y, torch.zeros_like(y))[None]]),
            "curvature": torch.cat([kept[1:], curvature[None]]),
        }


def two_loop(g: Tensor, s: Tensor, y: Tensor, curvature: Tensor) -> Tensor:
    """Return H·g `[B,D]` for pairs s, y `[M,B,D]` (oldest first) and curvatures sᵀy `[M,B]`; pairs ≤ 0 are skipped."""
    inverse = torch.where(curvature > 0, 1 / curvature.clamp_min(1e-30), torch.zeros_like(curvature))
    q, alphas = g, []
    for i in range(len(s) - 1, -1, -1):
        alpha = inverse[i] * (s[i] * q).sum(1)
        q = q - alpha[:, None] * y[i]
        alphas.append(alpha)
    q = q * _initial_scale(s, y, curvature)[:, None]
    for i, alpha in zip(range(len(s)), reversed(alphas), strict=True):
        beta = inverse[i] * (y[i] * q).sum(1)
        q = q + (alpha - beta)[:, None] * s[i]
    return q


def _initial_scale(s: Tensor, y: Tensor, curvature: Tensor) -> Tensor:
    """γ = sᵀy/yᵀy of each sample's newest valid pair; 1 without one."""
    scale = torch.ones_like(curvature[0])
    for i in range(len(s)):
        valid = curvature[i] > 0
        scale = torch.where(valid, curvature[i] / (y[i] ** 2).sum(1).clamp_min(1e-30), scale)
    return scale


def _flat(evaluate: Evaluate, x: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    value, gradient = evaluate(x.reshape(shape))
    return value.detach(), gradient.detach().flatten(1)
