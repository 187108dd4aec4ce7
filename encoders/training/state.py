"""Training state on disk, so that a killed run resumes from its last saved step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.errors import InputError
from recon.files.sealed import read_sealed, write_sealed

SCALARS, TRAINING = "scalars", "training"
"""Keys of the metadata: the JSON value, and the identity of the training."""
Parts = Mapping[str, Mapping[str, Tensor]]


def other_training(path: Path, found: object) -> InputError:
    """Return the error for a file that does not hold the state of this training."""
    return InputError(
        f"{path}: expected the state of a training of this encoder, got {found}; delete it to start again"
    )


def write_parts(path: Path, parts: Parts, scalars: Any, *, training: str = "") -> None:
    """Write named groups of tensors and a JSON value as a sealed file, with the identity of the `training`."""
    tensors = {
        f"{part}/{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for part, values in parts.items()
        for name, value in values.items()
    }
    write_sealed(path, tensors, {SCALARS: json.dumps(scalars), TRAINING: training})


def read_parts(path: Path, *, training: str | None = None) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Return the groups of tensors and the JSON value written by `write_parts`.

    Raises DamagedFileError for a file that is not as it was written, and InputError for another `training` than this.
    """
    tensors, about = read_sealed(path)
    if training is not None and about.get(TRAINING) != training:
        raise other_training(path, "that of other settings, data or code")
    parts: dict[str, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name] = value
    return parts, json.loads(about[SCALARS])


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
