"""What the GPU script computes on: clips of random responses, encoders of random weights, the presets as records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from recon.encoders.base import BEHAVIOR_CHANNELS, Encoder, Spec, device_of, freeze
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.methods.artefacts import save_artefact
from recon.methods.optimise.first_order import Momentum
from recon.methods.optimise.gradient import Gradient
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.optimise.parameterise import power_law
from recon.methods.optimise.subclip_steps import SubClips
from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem
from recon.types import Measurement

SCREEN = (36, 64)
BAUER = Gradient(
    iterations=1000,
    optimiser=Momentum(3.92156862745098, beta1=0.9, warmup=10, ramp=True, skip_first=True),
    subclips=SubClips(32, 8, clip=1.0, norm="all_inputs", repeat_last=True),
    canvas=True,
)
"""configs/methods/bauer2025.yaml; as a record, since reading YAML takes packages that a GPU machine may lack."""
MAP_SPECTRUM = Gradient(
    iterations=30, parameterisation="spectrum", optimiser=Lbfgs(memory=8, first_step=0.1), beta=0.06, prior=1.0
)
"""configs/methods/map_spectrum.yaml."""
SHIPPED = CoreReadoutSettings(CoreSettings(14, temporal=3, block=4, features=40, hidden=64), mean=0.3925, std=0.198)
"""The shipped encoders of simulated V1."""


@dataclass(frozen=True)
class Sizes:
    """`divide` divides DwiseNeuro's widths (0: the narrowest); other numbers count."""

    divide: int = 1
    neurons: int = 7863
    frames: int = 300
    warm_frames: int = 40
    warm: int = 2
    iterations: int = 6
    """Of the published loop; the first throws its gradient away."""
    populations: tuple[int, ...] = (1000, 4000, 8000)
    spectrum_iterations: int = 30
    batches: tuple[int, ...] = (1, 4, 16)
    windows: tuple[int, ...] = (60, 150)
    deep_frames: int = 94
    """64 windows of DwiseNeuro."""
    compiled: bool = True
    repeats: int = 5
    steps: int = 20
    prior_batches: tuple[int, ...] = (8, 64)
    prior_frames: int = 32
    widths: tuple[int, ...] = (32, 64, 128, 192)
    levels: int = 12


TINY = Sizes(
    divide=0,
    neurons=30,
    frames=33,
    warm_frames=32,
    warm=0,
    iterations=2,
    populations=(20,),
    spectrum_iterations=1,
    batches=(1, 2),
    windows=(20,),
    deep_frames=33,
    compiled=False,
    repeats=1,
    steps=1,
    prior_batches=(2,),
    prior_frames=8,
    widths=(8, 8),
    levels=2,
)


def sizes_for(device: torch.device) -> Sizes:
    """Return full sizes for a GPU and tiny ones for a CPU."""
    return Sizes() if device.type == "cuda" else TINY


def core_readout(neurons: int, *, seed: int = 0) -> Encoder:
    """Return a frozen encoder like the shipped ones, with weights from a seed."""
    spec = Spec(SCREEN, tuple(range(neurons)), behavior=BEHAVIOR_CHANNELS)
    encoder = CoreReadout(spec, SHIPPED)
    encoder.initialise(torch.Generator().manual_seed(seed))
    return freeze(encoder)


def core_readout_clips(encoder: Encoder, frames: int, *, clips: int = 1, window: int = 0) -> Problem:
    """Return the problem of clips with random responses, of all neurons of an encoder, on its device."""
    draws, neurons = torch.Generator().manual_seed(2), len(encoder.spec.neuron_ids)
    responses = torch.poisson(torch.full((clips, neurons, frames), 0.5), draws)
    behavior = torch.randn(clips, len(BEHAVIOR_CHANNELS), frames, generator=draws)
    fit = torch.ones(neurons, dtype=torch.bool)
    measured = Measurement(responses, behavior, fit, ~fit, torch.ones(clips, frames, dtype=torch.bool))
    return Problem(FIDELITIES["poisson"](), (Observation(encoder, measured.to(device_of(encoder))),), window)


def map_spectrum(frames: int, iterations: int, folder: Path) -> Gradient:
    """Return the preset with a power law for the spectrum, which is written to a folder."""
    known, path = power_law((1, 1, frames, *SCREEN)), folder / f"spectrum_{frames}.safetensors"
    save_artefact({"power": known.power, "mean": known.mean}, path)
    return replace(MAP_SPECTRUM, iterations=iterations, artefact=path)


def movies(count: int, frames: int, *, seed: int = 3) -> Tensor:
    """Return movies `[B,1,T,36,64]` of white noise in [0,1]."""
    return torch.rand(count, 1, frames, *SCREEN, generator=torch.Generator().manual_seed(seed))
