"""Tiny encoders of every kind, with weights moved off their initial values."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.encoders.base import Encoder, Spec, freeze
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.encoders.ensemble import Ensemble
from recon.encoders.judge import Judge, JudgeSettings
from recon.encoders.linear import Linear

BEHAVIOR = ("running_speed", "pupil_x", "pupil_y")


def core_readout(*, shifter: bool = False, neurons: int = 7, behavior: tuple[str, ...] = BEHAVIOR) -> Encoder:
    settings = CoreReadoutSettings(CoreSettings(lags=4, temporal=2, features=5, hidden=6), shifter=shifter)
    encoder = CoreReadout(Spec((9, 12), tuple(range(neurons)), behavior=behavior), settings)
    return _ready(encoder)


def judge() -> Encoder:
    settings = JudgeSettings(lags=4, filters=6, block=2, width=3, units=8)
    return _ready(Judge(Spec((9, 12), tuple(range(7)), behavior=BEHAVIOR), settings))


def _ready(encoder: CoreReadout | Judge) -> Encoder:
    """Move all weights off their initial values, so that every part has an effect."""
    generator = torch.Generator().manual_seed(0)
    encoder.initialise(generator)
    neurons = len(encoder.spec.neuron_ids)
    encoder.place(2 * torch.rand(neurons, 2, generator=generator) - 1, torch.ones(neurons))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return freeze(encoder)


def linear() -> Encoder:
    weights = torch.randn(7, 1, 3, 9, 12, generator=torch.Generator().manual_seed(1))
    return freeze(Linear(weights, link="softplus"))


ALL = {
    "core_readout": core_readout,
    "shifter": lambda: core_readout(shifter=True),
    "judge": judge,
    "linear": linear,
    "ensemble": lambda: freeze(Ensemble((core_readout(), judge()))),
}


def stimulus(frames: int, *, batch: int = 2, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(frames)
    movie = torch.rand(batch, 1, frames, 9, 12, generator=generator, dtype=dtype)
    return movie, torch.randn(batch, 4, frames, generator=generator, dtype=dtype)
