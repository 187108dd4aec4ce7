"""Sealed files: tensors with a checksum, written atomically and verified when they are read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from recon.files import write_bytes

SUM = "sha256"
"""Key of the checksum in a file's metadata."""


def write_sealed(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a safetensors file atomically, with a checksum of tensors and metadata in its metadata."""
    from safetensors.torch import save

    write_bytes(path, save(dict(tensors), {**about, SUM: _sum(tensors, about)}))


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a file of `write_sealed`; raises DamagedFileError for any other or changed one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            names: list[str] = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
            about = dict(file.metadata() or {})
    except (SafetensorError, OSError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        raise DamagedFileError(f"{path}: {error}") from error
    if about.pop(SUM, "") != _sum(tensors, about):
        raise DamagedFileError(f"{path}: its checksum differs")
    return tensors, about


class DamagedFileError(Exception):
    """A file whose content is not as it was written."""


def _sum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    found = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def whole(path: Path) -> bool:
    """True where a sealed file exists and is as it was written; a damaged one is set aside, and a warning names it."""
    if not path.is_file():
        return False
    try:
        read_sealed(path)
    except DamagedFileError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        logging.getLogger(__name__).warning("damaged: %s; moved to %s, learnt again", error, aside)
        return False
    return True
