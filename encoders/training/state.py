"""Training state on disk, so that a killed run resumes from its last saved step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from recon.encoders.checkpoints import write_atomically
from recon.errors import InputError

Parts = Mapping[str, Mapping[str, Tensor]]


def other_training(path: Path, found: object) -> InputError:
    """Return the error for a file that does not hold the state of this training."""
    return InputError(
        f"{path}: expected the state of a training of this encoder, got {found}; delete it to start again"
    )


def write_parts(path: Path, parts: Parts, scalars: Any) -> None:
    """Write named groups of tensors and a JSON value atomically."""
    tensors = {
        f"{part}/{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for part, values in parts.items()
        for name, value in values.items()
    }
    tensors["scalars"] = torch.frombuffer(bytearray(json.dumps(scalars).encode()), dtype=torch.uint8)
    write_atomically(path, save(tensors))


def read_parts(path: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Return the groups of tensors and the JSON value written by `write_parts`."""
    tensors = load(path.read_bytes())
    scalars = json.loads(bytes(tensors.pop("scalars").tolist()))
    parts: dict[str, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name] = value
    return parts, scalars


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state tensors, keyed "parameter index/name"."""
    state = optimiser.state_dict()["state"]
    return {f"{index}/{key}": value for index, entry in state.items() for key, value in entry.items()}


def set_moments(optimiser: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Restore optimiser state returned by `moments_of`."""
    state: dict[str, Any] = optimiser.state_dict()
    state["state"] = {}
    for name, value in moments.items():
        index, _, key = name.partition("/")
        state["state"].setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(state)
