"""Learnt artefacts on disk: named by data, settings and code; each written in one step, with a checksum."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from recon.errors import InputError
from recon.files import digest
from recon.files.code_version import code_version, library_versions
from recon.files.sealed import DamagedFileError, read_sealed, write_sealed

SECONDS, LIBRARIES = "seconds", "libraries"
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
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {SECONDS: repr(float(seconds)), LIBRARIES: json.dumps(library_versions())}
    write_sealed(path, stored, about)


def load_artefact(path: Path | None, *, method: str) -> dict[str, Tensor]:
    """Return the tensors of an artefact; raises InputError for a damaged one, or where the method was never fitted."""
    if path is None or not path.exists():
        raise InputError(f"{method}: expected a fitted artefact, got {path}; call fit(training) first")
    try:
        return read_sealed(path)[0]
    except DamagedFileError as error:
        raise InputError(f"{method}: expected an artefact as it was written, got {error}; fit again") from error


def learning_seconds(path: Path) -> float:
    """Return the seconds of learning that an artefact records; 0 where it records none. Its tensors are not read."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return float((file.metadata() or {}).get(SECONDS, 0.0))
