"""A small DwiseNeuro and mice whose neurons follow the screen's brightness, to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from recon.encoders.dwiseneuro.network import DwiseSettings, Subject
from recon.encoders.dwiseneuro.sampling import (
    Mouse,
    WindowSampling,
)
from recon.encoders.dwiseneuro.train import (
    Recipe,
)
from recon.encoders.training.clips import TrainingClip

CPU = torch.device("cpu")
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "train"
TREE: dict[str, Any] = {
    "core_features": [6, 8],
    "spatial_strides": [4, 2],
    "temporal_kernel": 3,
    "expansion_ratio": 2,
    "se_reduce_ratio": 4,
    "cortex_features": [16],
    "drop_rate": 0.1,
    "frames": 4,
    "step": 2,
    "canvas": [18, 32],
}
SETTINGS = DwiseSettings(**{key: tuple(v) if isinstance(v, list) else v for key, v in TREE.items()})
RECIPE = Recipe(WindowSampling(samples=64, batch=8), warmup_epochs=1, epochs=2, average=0.9)


def clip(frames: int, neurons: int, *, seed: int) -> TrainingClip:
    """Even neurons follow the screen's brightness, odd ones its darkness, with Poisson noise."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.rand(frames, generator=generator)
    movie = light[None, :, None, None].expand(1, -1, 36, 64).contiguous()
    drive = torch.stack([light, 1 - light])[torch.arange(neurons) % 2]
    behavior = torch.randn(4, frames, generator=generator)
    return TrainingClip(movie, torch.poisson(6 * drive**2, generator=generator), behavior)


def mouse(neurons: int = 6, *, seed: int = 0, name: str = "a", noise: int = 3) -> Mouse:
    trials = [clip(40, neurons, seed=100 * seed + index) for index in range(noise + 3)]
    return Mouse(Subject(name, tuple(range(10, 10 + neurons)), 30.0, 2.0), trials[3:], trials[:3])
