"""Encoder checkpoints: safetensors with architecture, settings, Spec and card in the header; the card also as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError
from recon.files import write_bytes
from recon.files.weights import built, find_weights, from_json, from_mapping, read_tensors

FORMAT = "recon-encoder-1"
SHIPPED = Path(__file__).parent / "weights"
REMEDY = "check the path or train one with `recon train encoder`"

Built = tuple[str, Any]


def save_encoder(encoder: Encoder, path: Path, *, card: Mapping[str, Any], dtype: torch.dtype | None = None) -> None:
    """Write weights and header to `path` and the card to a .json file of the same name, each atomically.

    `dtype` is the storage type of floating-point weights (half precision halves the file); they load as float32.
    """
    tensors = {name: _stored(value, dtype) for name, value in encoder.state_dict().items()}
    architecture, settings = _description(encoder)
    header = {
        "format": FORMAT,
        "architecture": architecture,
        "settings": json.dumps(dataclasses.asdict(settings)),
        "spec": json.dumps(dataclasses.asdict(encoder.spec)),
        "card": json.dumps(card),
    }
    write_bytes(path, save(tensors, header))
    text = json.dumps({"architecture": architecture, "settings": dataclasses.asdict(settings), **card}, indent=2)
    write_bytes(path.with_suffix(".json"), (text + "\n").encode())


def load_encoder(weights: str | Path, *, architecture: str | None = None) -> Encoder:
    """Return the encoder of a file or shipped name (such as "v1_seed0") in evaluation mode."""
    path = find_weights(weights, SHIPPED, what="an encoder", remedy=REMEDY)
    header, tensors = read_tensors(path)
    found = header.get("architecture", "none")
    if architecture is not None and found != architecture:
        raise InputError(f"{path}: expected weights of {architecture!r}, got {found!r}; load it as {found!r}")
    encoder = _build(path, header, tensors)
    encoder.load_state_dict({name: value.to(encoder.state_dict()[name].dtype) for name, value in tensors.items()})
    return encoder.eval()


def architecture_name(weights: str | Path) -> str:
    """Return the name of the architecture in a file or shipped name; raises InputError for a file of another kind."""
    path = find_weights(weights, SHIPPED, what="an encoder", remedy=REMEDY)
    found, known = read_tensors(path)[0].get("architecture", "none"), architectures()
    if found not in known:
        raise InputError(
            f"{path}: expected weights of {', '.join(known)}, got {found!r}; write the section `encoders` yourself for "
            "another encoder"
        )
    return found


def read_card(weights: str | Path) -> dict[str, Any]:
    """Return the card of a file or shipped name: data, training, scores, command."""
    path = find_weights(weights, SHIPPED, what="an encoder", remedy=REMEDY)
    card = from_json(read_tensors(path)[0].get("card", "{}"), where=f"{path}: card")
    if not isinstance(card, dict):
        raise InputError(f"{path}: card: expected a mapping, got {type(card).__name__}; retrain it")
    return card


class Architecture(NamedTuple):
    """An encoder class with checkpoints, its settings record, and build(spec, settings)."""

    encoder: type[Encoder]
    settings: type[Any]
    build: Callable[[Spec, Any], Encoder]


def architectures() -> dict[str, Architecture]:
    """Return the architectures that a checkpoint can hold, by name."""
    from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
    from recon.encoders.glm.model import Glm, GlmSettings
    from recon.encoders.judge import Judge, JudgeSettings
    from recon.encoders.linear import Linear, LinearSettings, empty_linear

    return {
        "core_readout": Architecture(CoreReadout, CoreReadoutSettings, CoreReadout),
        "judge": Architecture(Judge, JudgeSettings, Judge),
        "glm": Architecture(Glm, GlmSettings, Glm),
        "linear": Architecture(Linear, LinearSettings, empty_linear),
    }


def _description(encoder: Encoder) -> Built:
    for name, architecture in architectures().items():
        if isinstance(encoder, architecture.encoder):
            return name, vars(encoder)["settings"]
    known = ", ".join(architectures())
    raise InputError(f"encoder: expected one of {known}, got {type(encoder).__name__}; save its module yourself")


def _build(path: Path, header: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Encoder:
    architecture, known = header.get("architecture", "none"), architectures()
    if architecture not in known or header.get("format") != FORMAT:
        raise InputError(
            f"{path}: expected an encoder ({FORMAT}; {', '.join(known)}), got format "
            f"{header.get('format', 'none')!r}, architecture {architecture!r}; train it again with this version"
        )
    chosen = known[architecture]
    records = [
        from_mapping(cls, from_json(header.get(entry, "null"), where=f"{path}: {entry}"), where=f"{path}: {entry}")
        for entry, cls in (("spec", Spec), ("settings", chosen.settings))
    ]
    return built(path, lambda: chosen.build(*records), tensors)


def _stored(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    stored = value.detach().cpu().contiguous()
    return stored.to(dtype) if dtype is not None and stored.is_floating_point() else stored.clone()
