"""Decoders on disk: half-precision weights, their neurons, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from recon.errors import InputError
from recon.files import write_bytes
from recon.files.scale import Scale, check_scale, scale_in
from recon.files.weights import find_weights, from_json, from_mapping, read_tensors
from recon.methods.named_files import DECODERS
from recon.methods.neural.network import DecoderArchitecture
from recon.methods.training_set import TrainingSet
from recon.types import Recording

SHIPPED = DECODERS
FORMAT = "recon-decoder-1"
UNUSED = (".std",)
"""Deviations of the responses: infinite for a constant neuron, which then contributes nothing."""


def save_decoder(learnt: Mapping[str, Tensor], path: Path, *, recording: Recording, card: Mapping[str, Any]) -> None:
    """Write a decoder's tensors, the unit ids and scale of its recording, and the card to a .json of the same name."""
    from safetensors.torch import save

    tensors = {name: value.half() if value.is_floating_point() else value for name, value in learnt.items()}
    tensors["unit_ids"] = torch.tensor(recording.unit_ids)
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {"format": FORMAT, "card": json.dumps(dict(card)), "seconds": str(card["seconds"])}
    write_bytes(path, save(stored, about | recorded_scale(recording).header()))
    write_bytes(path.with_suffix(".json"), (json.dumps(dict(card), indent=2) + "\n").encode())


def recorded_scale(recording: Recording) -> Scale:
    """Return the scale of a recording's movies."""
    return Scale(recording.frame_size, recording.frame_rate, recording.degrees_per_pixel)


def architecture_of(path: Path) -> DecoderArchitecture:
    """Return the architecture in the card of a saved decoder."""
    where = f"{path}: card.method.architecture"
    return from_mapping(DecoderArchitecture, trained_with(path).get("architecture", {}), where=where)


def trained_with(path: Path) -> Mapping[str, Any]:
    """Return the method settings in the card of a saved decoder; settings left at their defaults are absent."""
    with safe_open(str(path), framework="pt") as file:
        card = from_json((file.metadata() or {}).get("card", "{}"), where=f"{path}: card")
    method = (card.get("method") or {}) if isinstance(card, Mapping) else None
    if not isinstance(method, Mapping):
        raise InputError(f"{path}: card: expected the settings of a method, got other values; train it again")
    return method


def read_decoder(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a saved decoder."""
    return read_tensors(path, infinite=UNUSED)[1]


def dropout_of(path: Path, default: float) -> float:
    """Return the share of neurons that was silenced while a saved decoder was trained."""
    share = trained_with(path).get("dropout", default)
    if not isinstance(share, int | float) or not 0 <= share < 1:
        raise InputError(f"{path}: card: expected a dropout from 0 to below 1, got {share!r}; train it again")
    return float(share)


def find_decoder(weights: str, training: TrainingSet) -> Path:
    """Return the path of a file or shipped name; raises InputError for other neurons or another scale."""
    path = find_weights(weights, SHIPPED, what="a decoder", remedy="leave out `weights` to train one")
    header, tensors = read_tensors(path, infinite=UNUSED)
    found = header.get("format")
    missing = [name for name in ("unit_ids", "neurons", "mean") if name not in tensors]
    if missing:
        raise InputError(f"{path}: expected a decoder file, got one without {missing[0]}; train it again")
    units, neurons = tensors["unit_ids"], tensors["neurons"]
    same = tuple(units.tolist()) == tuple(training.recording.unit_ids) and torch.equal(neurons, training.neurons)
    if found != FORMAT or not same:
        raise InputError(
            f"{path}: expected a decoder of the {int(training.neurons.sum())} fit neurons of "
            f"{training.recording.name}, got one of {int(neurons.sum())} other neurons; leave out `weights` to train "
            "one"
        )
    check_scale(
        scale_in(header, path),
        recorded_scale(training.recording),
        what=f"decoder {weights}",
        remedy="leave out `weights` to train one",
    )
    return path
