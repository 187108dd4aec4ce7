"""Noise levels that diffusers' models were trained with, as the denoiser D(x, σ) of x = clean + σ·noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import InputError
from recon.priors.guidance import from_epsilon, from_flow, from_velocity

Network = Callable[[Tensor, Tensor], Tensor]
"""(x_t `[B,...]`, time `[B]` in the model's own units) → what the model predicts, shaped as x_t."""

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")


@dataclass(frozen=True)
class Schedule:
    """What a model predicts, and for models with discrete steps the σ `[steps]` of every step, rising.

    A flow's time is continuous and follows from σ alone, so that it has no `sigmas`.
    """

    predicts: str
    steps: int
    sigmas: Tensor

    def denoised(self, x: Tensor, sigma: Tensor, network: Network) -> Tensor:
        """Return the clean estimate of x = clean + σ·noise `[B,...]` for σ `[B]`.

        Discrete steps: x_t = √ā·x with ā = 1/(1+σ²) (Song et al. 2021, DDIM, eq. 13), exact for every σ; the network's
        time is interpolated in log σ between its steps and stays at the first or last step beyond them. Flows:
        x_t = (1−t)·clean + t·ε = (1−t)·x with t = σ/(1+σ) (Lipman et al. 2023).
        """
        level = sigma.to(x).expand(len(x)).reshape(-1, *[1] * (x.dim() - 1))
        if self.predicts == "flow_prediction":
            time = level / (1 + level)
            moved = (1 - time) * x
            return from_flow(moved, network(moved, time.flatten() * self.steps), time=time)
        signal = (1 + level**2).rsqrt()
        scaled = signal * x
        predicted = network(scaled, self.time(level.flatten()))
        if self.predicts == "sample":
            return predicted
        convert = from_epsilon if self.predicts == "epsilon" else from_velocity
        return convert(scaled, predicted, signal=signal, noise=signal * level)

    def time(self, sigma: Tensor) -> Tensor:
        """Return the step `[B]`, a fraction, of noise levels `[B]`: linear in log σ between steps.

        >>> schedule = Schedule("epsilon", 3, torch.tensor([0.1, 1.0, 100.0]))
        >>> [round(float(time), 3) for time in schedule.time(torch.tensor([0.0, 0.1, 10.0, 1e6]))]
        [0.0, 0.0, 1.5, 2.0]
        """
        known = self.sigmas.to(sigma).log()
        asked = torch.minimum(torch.maximum(sigma.log(), known[0]), known[-1])
        upper = torch.searchsorted(known, asked).clamp(1, len(known) - 1)
        lower = known[upper - 1]
        return upper - 1 + (asked - lower) / (known[upper] - lower)


def schedule_of(scheduler: Any) -> Schedule:
    """Return the schedule of a diffusers scheduler: only what the network was trained with counts, no sampler's steps.

    A flow's shift moves the steps that a sampler takes; its network is still asked at t·steps. Raises InputError for
    other parameterisations (EDM, cascades).
    """
    kind, config = type(scheduler).__name__, scheduler.config
    predicts = "flow_prediction" if "FlowMatch" in kind else str(config.get("prediction_type"))
    kept: Any = getattr(scheduler, "alphas_cumprod", None)
    if predicts not in PREDICTIONS or (kept is None and predicts != "flow_prediction"):
        raise InputError(
            f"scheduler: expected one that knows ā (DDIM, DDPM, Euler …) or flow matching, with a prediction among "
            f"{', '.join(PREDICTIONS)}, got {kind} with {predicts}; take another pipeline"
        )
    steps = int(config.num_train_timesteps)
    if predicts == "flow_prediction":
        return Schedule(predicts, steps, torch.empty(0))
    # Schedules of zero terminal signal end at σ = ∞, which no variable clean + σ·noise reaches.
    sigmas = ((1 - kept.double()) / kept.double()).sqrt()
    return Schedule(predicts, steps, sigmas[sigmas.isfinite()].float())
