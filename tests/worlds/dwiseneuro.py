"""Seeded DwiseNeuro weights, drawn in order of names, and inputs; shared by tests and benchmarks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

NARROW: dict[str, Any] = {
    "readout_outputs": (5, 7),
    "in_channels": 5,
    "core_features": (8, 8, 12),
    "spatial_strides": (2, 1, 2),
    "spatial_kernel": 3,
    "temporal_kernel": 5,
    "expansion_ratio": 3,
    "se_reduce_ratio": 4,
    "cortex_features": (16, 24),
    "groups": 2,
    "softplus_beta": 0.07,
    "drop_rate": 0.4,
    "drop_path_rate": 0.1,
}


def params(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `params` of a published checkpoint."""
    return {
        "nn_module": ("dwiseneuro", dict(network)),
        "loss": ("mice_poisson", {"log_input": False, "full": False, "eps": 1e-8}),
        "optimizer": ("AdamW", {"lr": 2.4e-3, "weight_decay": 0.05}),
        "device": "cpu",
        "frame_stack": {"size": 16, "step": 2, "position": "last"},
        "inputs_processor": ("stack_inputs", {"size": (64, 64), "pad_fill_value": 0.0}),
        "responses_processor": ("identity", {}),
        "amp": False,
        "iter_size": 1,
    }


def random_state(shapes: Mapping[str, Sequence[int]], *, seed: int = 0) -> dict[str, Tensor]:
    """Return weights and BatchNorm statistics drawn in order of names; position frequencies as published."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in sorted(shapes):
        shape, kind = tuple(shapes[name]), name.rpartition(".")[2]
        drawn = torch.randn(shape, generator=generator)
        if kind == "inv_freq":
            state[name] = 1.0 / (10000 ** (torch.arange(0, 2 * len(drawn), 2).float() / (2 * len(drawn))))
        elif kind == "num_batches_tracked":
            state[name] = torch.tensor(7)
        elif kind == "running_var" or (kind == "weight" and len(shape) == 1):
            state[name] = 1 + drawn.tanh() / 2
        elif kind == "weight":
            state[name] = drawn / math.sqrt(math.prod(shape[1:])) / (100 if "stem" in name else 1)
        else:
            state[name] = drawn * 0.2
    return state


def trial(frames: int, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return grey levels `[T,36,64]` in 0–255, and behavior `[4,T]` in the files' units."""
    generator = torch.Generator().manual_seed(seed)
    movie = torch.rand(frames, 36, 64, generator=generator) * 255
    scale = torch.tensor([40.0, 5.0, 300.0, 220.0])[:, None]
    return movie, scale * (1 + 0.1 * torch.randn(4, frames, generator=generator))
