"""Priors on disk: weights in half precision, what they are and a card in the header, and the card beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from recon.errors import InputError

SHIPPED = Path(__file__).parent / "weights"


def save_prior(
    tensors: Mapping[str, Tensor], path: Path, *, kind: str, about: Mapping[str, str], card: Mapping[str, Any]
) -> None:
    """Write weights of a `kind` with their header `about`, and `card` to the .json beside them, each at once."""
    from safetensors.torch import save

    stored = {name: value.detach().cpu().half().contiguous() for name, value in tensors.items()}
    header = {"format": kind, **about, "card": json.dumps(dict(card))}
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in (
        (path, save(stored, header)),
        (path.with_suffix(".json"), (json.dumps(dict(card), indent=2) + "\n").encode()),
    ):
        aside = target.with_name(f".{target.name}.partial")
        aside.write_bytes(content)
        aside.replace(target)


def load_prior(weights: str | Path, *, kind: str, what: str, command: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights and the header of a file, or of a shipped name; raises InputError where it is no `what`."""
    path = Path(weights)
    path = path if path.is_file() else SHIPPED / f"{weights}.safetensors"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors"))) or "none"
        raise InputError(
            f"weights: expected {what}, a file or a shipped name ({shipped}), got {str(weights)!r}; train one with "
            f"`{command}`"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            header = dict(file.metadata() or {})
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: expected a whole safetensors file, got {error}; copy it again") from error
    if header.get("format") != kind:
        raise InputError(f"{path}: expected {what}, got {header.get('format', 'another file')}")
    return tensors, header
