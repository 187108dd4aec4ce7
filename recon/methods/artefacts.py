"""What methods learnt, on disk: named by the hash of what went in, written at once, with the time that it took."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from recon.errors import InputError
from recon.files import write_bytes

SECONDS = "seconds"


def artefact_path(folder: Path, name: str, inputs: object) -> Path:
    """Return where an artefact lives: named by the hash of whatever JSON can say about its inputs.

    >>> artefact_path(Path("a"), "mean", [1]) == artefact_path(Path("a"), "mean", [1])
    True
    """
    what = json.dumps(inputs, default=str, sort_keys=True)
    return folder / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.safetensors"


def save_artefact(tensors: Mapping[str, Tensor], path: Path, *, seconds: float = 0.0) -> None:
    """Write an artefact in one step, so that a half-written one is never read; `seconds` is what learning took."""
    from safetensors.torch import save

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(stored, {SECONDS: repr(float(seconds))}))


def load_artefact(path: Path | None, *, method: str) -> dict[str, Tensor]:
    """Read what a method learnt; a clear error when it was never fitted."""
    if path is None or not path.exists():
        raise InputError(f"{method}: expected a fitted artefact, got {path}; call fit(training) first")
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(str(path))
    return tensors


def whole(path: Path) -> bool:
    """Say whether an artefact is there and as long as it says; what is not is learnt again."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt"):
            return True
    except (SafetensorError, OSError):
        return False


def learning_seconds(path: Path) -> float:
    """Return the seconds that an artefact says it took to learn; 0 where it does not say."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return float(header.get("__metadata__", {}).get(SECONDS, 0.0))
