"""Sensorium 2023 baselines: configurations, seeded weights drawn in order of names, and inputs.

Shared by tests and benchmarks. `PUBLISHED` holds the notebooks' settings without training settings.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

MICE = {
    "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20": 5,
    "dynamic29623-4-9-Video-9b4f6a1a067fe51e15306b9628efea20": 7,
}
MOUSE = list(MICE)[1]
IMAGE = (110.0, 57.0)
BEHAVIOR = (9.0, 4.0)
PUPIL = ((300.0, 220.0), (12.0, 8.0))
FRAMES = 30
CHOSEN = [0, 17, 18, 19, 24, 29]
"""Frames of the golden rates; the public code returns none for the first frames."""

_TWO_D = {
    "input_channels": 3,
    "hidden_channels": 8,
    "input_kern": 9,
    "hidden_kern": 7,
    "layers": 4,
    "skip": 0,
    "pad_input": False,
    "final_nonlinearity": False,
    "bias": True,
    "batch_norm": True,
    "laplace_padding": None,
    "input_regularizer": "LaplaceL2norm",
    "stack": -1,
    "hidden_padding": None,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "factorised": {
        "type": "3D_factorised",
        "core": {
            "input_channels": 3,
            "hidden_channels": [32, 64, 128],
            "spatial_input_kernel": (11, 11),
            "temporal_input_kernel": 11,
            "spatial_hidden_kernel": (5, 5),
            "temporal_hidden_kernel": 5,
            "layers": 3,
            "hidden_nonlinearities": "elu",
            "laplace_padding": None,
            "padding": False,
            "final_nonlin": True,
        },
    },
    "full": {
        "type": "3D",
        "core": {
            "input_channels": 3,
            "hidden_channels": [64, 64],
            "input_kernel": 9,
            "hidden_kernel": 7,
            "num_frames": 9,
            "layers": 2,
            "hidden_nonlinearities": "elu",
            "laplace_padding": None,
            "padding": True,
            "final_nonlin": True,
            "spatial_input_kernel": None,
        },
    },
    "gru": {
        "type": "2D_equivariant",
        "core": {**_TWO_D, "num_rotations": 8},
        "gru": {"input_channels": 64, "rec_channels": 64, "input_kern": 9, "rec_kern": 9},
    },
    "gru_plain": {
        "type": "2D",
        "core": {**_TWO_D, "hidden_channels": 64},
        "gru": {"input_channels": 64, "rec_channels": 64, "input_kern": 7, "rec_kern": 7},
    },
}


def narrow(kind: str) -> dict[str, Any]:
    """Return a published configuration with few channels and small kernels."""
    chosen = copy.deepcopy(PUBLISHED[kind])
    if kind == "factorised":
        chosen["core"] |= {
            "hidden_channels": [4, 5, 6],
            "spatial_input_kernel": (5, 5),
            "spatial_hidden_kernel": (3, 3),
        }
    elif kind == "full":
        chosen["core"] |= {"hidden_channels": [4, 4], "input_kernel": 5, "hidden_kernel": 3}
    else:
        rotations = {"num_rotations": 4} if kind == "gru" else {}
        chosen["core"] |= {"hidden_channels": 2 if rotations else 5, "input_kern": 5, "hidden_kern": 3, "layers": 3}
        channels = 8 if rotations else 5
        chosen["core"] |= rotations
        chosen["gru"] |= {"input_channels": channels, "rec_channels": channels, "input_kern": 5, "rec_kern": 3}
    return chosen


def random_state(shapes: Mapping[str, Sequence[int]], *, seed: int = 0) -> dict[str, Tensor]:
    """Return weights and BatchNorm statistics, drawn in order of names, that keep activations near one."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in sorted(shapes):
        shape, kind = tuple(shapes[name]), name.rpartition(".")[2]
        drawn = torch.randn(shape, generator=generator)
        if kind == "num_batches_tracked":
            state[name] = torch.tensor(7)
        elif kind == "running_var" or (kind == "weight" and len(shape) == 1):
            state[name] = 1 + drawn.tanh() / 2
        elif kind == "weight" or ".rotate_hermite." in name:
            state[name] = drawn / math.sqrt(math.prod(shape[1:]))
        elif kind in ("coeffs", "_features"):
            # Stronger filters saturate the GRU, which amplifies rounding errors from frame to frame.
            state[name] = drawn * (0.7 if kind == "coeffs" else 2) / math.sqrt(math.prod(shape[:2]))
        else:
            state[name] = drawn * 0.2
    return state


def trial(frames: int = FRAMES, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return grey levels `[T,36,64]` in 0–255, and behavior `[4,T]` in the files' units."""
    generator = torch.Generator().manual_seed(seed)
    movie = torch.rand(frames, 36, 64, generator=generator) * 255
    scale = torch.tensor([40.0, 5.0, *PUPIL[0]])[:, None]
    return movie, scale * (1 + 0.05 * torch.randn(4, frames, generator=generator))
