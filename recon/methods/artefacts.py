"""Learnt artefacts on disk: named by data, settings and code; each written in one step."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from recon.code_version import code_version, library_versions
from recon.errors import InputError
from recon.files import digest, write_bytes

SECONDS = "seconds"
LIBRARIES = "libraries"
"""Metadata of an artefact: seconds of learning, library versions as JSON."""


def artefact_path(folder: Path, name: str, inputs: object, *, code: Iterable[str]) -> Path:
    """Return the path of an artefact: its name and a hash of its inputs (as JSON) and of the code that computes it.

    `code`: names of modules; all that they import counts with them.

    >>> code = ["recon.methods.linear.mean"]
    >>> artefact_path(Path("a"), "mean", [1], code=code) == artefact_path(Path("a"), "mean", [1], code=code)
    True
    """
    return folder / f"{name}-{digest([inputs, code_version(*code)])}.safetensors"


def save_artefact(tensors: Mapping[str, Tensor], path: Path, *, seconds: float = 0.0) -> None:
    """Write an artefact atomically, with library versions and the `seconds` of learning in its metadata."""
    from safetensors.torch import save

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {SECONDS: repr(float(seconds)), LIBRARIES: json.dumps(library_versions())}
    write_bytes(path, save(stored, about))


def load_artefact(path: Path | None, *, method: str) -> dict[str, Tensor]:
    """Return the tensors of an artefact; raises InputError where the method was never fitted."""
    if path is None or not path.exists():
        raise InputError(f"{method}: expected a fitted artefact, got {path}; call fit(training) first")
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(str(path))
    return tensors


def whole(path: Path) -> bool:
    """True where an artefact exists and has the length that its header states."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt"):
            return True
    except (SafetensorError, OSError):
        return False


def learning_seconds(path: Path) -> float:
    """Return the seconds of learning that an artefact records; 0 where it records none."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return float(header.get("__metadata__", {}).get(SECONDS, 0.0))
