"""Prior files: half-precision weights with kind, description and card in the header, and a copy of the card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from recon.errors import InputError
from recon.files import write_bytes
from recon.files.scale import Scale, scale_in
from recon.files.weights import find_weights, from_json, from_mapping, read_header, read_tensors

Settings = TypeVar("Settings")
SHIPPED = Path(__file__).parent / "weights"


def save_prior(
    tensors: Mapping[str, Tensor], path: Path, *, kind: str, about: Mapping[str, str], card: Mapping[str, Any]
) -> None:
    """Write weights of a `kind` with header entries `about`, and `card` to a .json file beside them, atomically.

    The entry of a `Scale` among `about` says which movies they were trained on.
    """
    from safetensors.torch import save

    stored = {name: value.detach().cpu().half().contiguous() for name, value in tensors.items()}
    header = {"format": kind, **about, "card": json.dumps(dict(card))}
    write_bytes(path, save(stored, header))
    write_bytes(path.with_suffix(".json"), (json.dumps(dict(card), indent=2) + "\n").encode())


def settings_of(cls: type[Settings], header: Mapping[str, str], weights: str | Path) -> Settings:
    """Return the settings in a prior's header, a dataclass; keys, types and ranges are checked."""
    return settings_in(cls, header, "settings", weights)


def settings_in(cls: type[Settings], header: Mapping[str, str], entry: str, weights: str | Path) -> Settings:
    """Return the settings in one entry of a prior's header, a dataclass; keys, types and ranges are checked."""
    where = f"{weights}: {entry}"
    return from_mapping(cls, from_json(header.get(entry, "null"), where=where), where=where)


def format_of(weights: str | Path, *, what: str) -> str:
    """Return the kind of prior that a file or shipped name holds; empty where it does not say."""
    path = find_weights(weights, SHIPPED, what=what, remedy="train one with `recon train prior`")
    return read_header(path).get("format", "")


def scale_of(weights: str | Path, *, what: str) -> Scale | None:
    """Return the scale of the movies that a file or shipped name was trained on; None where it does not say."""
    path = find_weights(weights, SHIPPED, what=what, remedy="name another")
    return scale_in(read_header(path), path)


def load_prior(weights: str | Path, *, kind: str, what: str, command: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return weights and header of a file or shipped name; raises InputError if its format is not `kind`.

    The errors describe the prior as `what` and name the `command` that trains one.
    """
    path = find_weights(weights, SHIPPED, what=what, remedy=f"train one with `{command}`")
    header, tensors = read_tensors(path)
    if header.get("format") != kind:
        raise InputError(f"{path}: expected {what}, got {header.get('format', 'another file')}; pass such a file")
    return {name: value.float() for name, value in tensors.items()}, header
