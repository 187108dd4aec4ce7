"""Training noise schedules of diffusers models, as the denoiser D(x, σ) of x = clean + σ·noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.errors import InputError
from recon.priors.guidance import from_epsilon, from_flow, from_velocity

Network = Callable[[Tensor, Tensor], Tensor]
"""(x_t `[B,...]`, time `[B]` in the model's units) → the model's prediction, of x_t's shape."""

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")


@dataclass(frozen=True)
class Schedule:
    """Prediction type of a model and, for discrete steps, the increasing noise levels σ `[steps]`.

    Flow models have continuous time, a function of σ, and therefore empty `sigmas`.
    """

    predicts: str
    steps: int
    sigmas: Tensor

    def denoised(self, x: Tensor, sigma: Tensor, network: Network) -> Tensor:
        """Return the clean estimate of x = clean + σ·noise `[B,...]` for σ `[B]`.

        Discrete steps: x_t = √ā·x with ā = 1/(1+σ²), exact for every σ (Song et al. 2021, DDIM, eq. 13). The network's
        time is interpolated between steps in log σ and clamped to the first and last step. Flows: x_t = (1−t)·clean +
        t·ε = (1−t)·x with t = σ/(1+σ) (Lipman et al. 2023).
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
        """Return the fractional step `[B]` of noise levels `[B]`, linear in log σ between steps.

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
    """Return the training schedule of a diffusers scheduler; the sampler's steps are ignored.

    A flow's shift only changes the sampler's steps; its network still takes time t·steps. Raises InputError for other
    parameterisations (EDM, cascades).
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
    # Zero-terminal-SNR schedules end at σ = ∞, which x = clean + σ·noise cannot represent.
    sigmas = ((1 - kept.double()) / kept.double()).sqrt()
    return Schedule(predicts, steps, sigmas[sigmas.isfinite()].float())
