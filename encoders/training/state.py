"""Training state on disk, so that a killed run resumes from its last saved step."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from recon.encoders.checkpoints import write_atomically
from recon.errors import InputError

SUM, SCALARS, TRAINING = "crc32", "scalars", "training"
"""Keys of the metadata: checksum, the JSON value, and the identity of the training."""
Parts = Mapping[str, Mapping[str, Tensor]]


def other_training(path: Path, found: object) -> InputError:
    """Return the error for a file that does not hold the state of this training."""
    return InputError(
        f"{path}: expected the state of a training of this encoder, got {found}; delete it to start again"
    )


def write_parts(path: Path, parts: Parts, scalars: Any, *, training: str = "") -> None:
    """Write named groups of tensors and a JSON value atomically, with a checksum and the identity of the `training`."""
    tensors = {
        f"{part}/{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for part, values in parts.items()
        for name, value in values.items()
    }
    about = {SCALARS: json.dumps(scalars), TRAINING: training}
    write_atomically(path, save(tensors, about | {SUM: _checksum(tensors, about)}))


def read_parts(path: Path, *, training: str | None = None) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Return the groups of tensors and the JSON value written by `write_parts`.

    Raises DamagedStateError for a file that is not as it was written, and InputError for another `training` than this.
    """
    try:
        with safe_open(str(path), "pt", device="cpu") as file:
            names: list[str] = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
            about: dict[str, str] = dict(file.metadata() or {})
    except (SafetensorError, OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        raise DamagedStateError(f"{path}: {error}") from error
    if about.pop(SUM, "") != _checksum(tensors, about):
        raise DamagedStateError(f"{path}: its checksum differs")
    if training is not None and about[TRAINING] != training:
        raise other_training(path, "that of other settings, data or code")
    parts: dict[str, dict[str, Tensor]] = {}
    for place, value in tensors.items():
        part, _, name = place.partition("/")
        parts.setdefault(part, {})[name] = value
    return parts, json.loads(about[SCALARS])


class DamagedStateError(Exception):
    """A state of a training that is not as it was written."""


def usable(path: Path) -> bool:
    """True where a state exists and is as it was written; a damaged one is set aside, and a warning names it."""
    if not path.is_file():
        return False
    try:
        read_parts(path)
    except DamagedStateError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        logging.getLogger(__name__).warning("damaged: %s; moved to %s, the training begins again", error, aside)
        return False
    return True


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Return the CRC-32 of tensors, with their names, types and shapes, and of metadata.

    >>> _checksum({"x": torch.zeros(2)}, {}) == _checksum({"x": torch.zeros(2, 1)}, {})
    False
    """
    found = zlib.crc32(repr(sorted(about.items())).encode())
    for name, value in sorted(tensors.items()):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(repr((name, value.dtype, tuple(value.shape))).encode(), found)
        found = zlib.crc32(content.numpy().tobytes(), found)
    return str(found)


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
