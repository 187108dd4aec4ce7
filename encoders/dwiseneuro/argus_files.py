"""DwiseNeuro checkpoints: published Argus files (`.pth`), read without executing pickled code, and safetensors.

An Argus file is `torch.save` of a dict `model_name`, `params`, `nn_state_dict` (zip or legacy format).
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from recon.encoders.checkpoints import FORMAT
from recon.encoders.dwiseneuro.network import (
    DwiseNetwork,
    DwiseSettings,
    Subject,
    build_network,
    from_params,
    to_params,
)
from recon.errors import InputError
from recon.files import write_bytes
from recon.files.weights import check_tensors, from_json, from_mapping, read_tensors

KEYS = ("model_name", "params", "nn_state_dict")
ARCHITECTURE = "dwiseneuro"


class Published(NamedTuple):
    """Content of a network file: settings, weights under their published names, card, and the readouts' subjects.

    Published files do not name the mice of their readouts; files trained here do.
    """

    settings: DwiseSettings
    tensors: dict[str, Tensor]
    card: dict[str, Any]
    subjects: tuple[Subject, ...] = ()


def save_trained(network: DwiseNetwork, path: Path, *, subjects: tuple[Subject, ...], card: Mapping[str, Any]) -> None:
    """Write a trained network as safetensors, with subjects and card; `convert` turns it into a `.pth` file."""
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    _write_converted(path, Published(network.settings, tensors, {}, subjects), card)


def read_published(path: Path) -> Published:
    """Return the content of an Argus `.pth` or a converted `.safetensors` file."""
    if not path.is_file():
        raise InputError(f"weights: expected a .pth or .safetensors file, got {str(path)!r}; check the path")
    return _read_converted(path) if path.suffix == ".safetensors" else _read_argus(path)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a plain state dict, `.pth` or `.safetensors`, without executing pickled code."""
    if not path.is_file():
        raise InputError(f"weights: expected a .pth or .safetensors file, got {str(path)!r}; check the path")
    content = read_tensors(path)[1] if path.suffix == ".safetensors" else _load(path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: expected a state dict of tensors, got something else; save model.state_dict()")
    check_tensors(path, content)
    return dict(content)


def convert(source: Path, target: Path, *, card: Mapping[str, Any] | None = None) -> Path:
    """Convert a published network from `.pth` to `.safetensors` or back, by the suffix of `target`; return `target`.

    A `.safetensors` file holds settings and card in its header, with a copy of the card as `.json`. Conversion to
    `.pth` writes the card's `params` back.
    """
    if target.suffix not in (".pth", ".safetensors") or target.suffix == source.suffix:
        raise InputError(f"{target}: expected the other format than {source.name}: .pth or .safetensors; rename it")
    found = read_published(source)
    check_tensors(source, found.tensors)
    build_network(found.settings, found.tensors, str(source))
    whole = {**found.card, **(card or {})}
    if target.suffix == ".pth":
        _write_argus(target, found, whole)
    else:
        _write_converted(target, found, whole)
    return target


def _read_argus(path: Path) -> Published:
    content = _load(path)
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{path}: expected a dict of {', '.join(KEYS)}, got no {missing[0]!r}; use an Argus file")
    params, tensors = content["params"], content["nn_state_dict"]
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(f"{path}: expected tensors in nn_state_dict, got other values; copy the file again")
    try:
        settings = from_params(params, str(path))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: expected the params of the published recipe, got {error}; use such a file"
        ) from error
    card = {"source": path.name, "model_name": content["model_name"], "params": params}
    return Published(settings, dict(tensors), card)


def _reason(error: Exception) -> str:
    """Return torch's reason without its advice to disable the restricted reader."""
    text = " ".join(str(error).split())
    found = re.search(r"(?i)unsupported (?:global|class|operand) \S+", text)
    return found[0] if found else text.partition(". ")[0][:120]


def _load(path: Path) -> Any:
    """Unpickle with torch's restricted reader, which accepts only tensors and plain values."""
    try:
        # Only the zip format can be memory-mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError) as error:
        reason = _reason(error)
        raise InputError(
            f"{path}: expected tensors and plain values only, got a file that is damaged or asks to run code "
            f"({type(error).__name__}: {reason}); nothing was run: take the file from its authors again"
        ) from error


def _read_converted(path: Path) -> Published:
    header, tensors = read_tensors(path)
    found = (header.get("format"), header.get("architecture"))
    if found != (FORMAT, ARCHITECTURE):
        raise InputError(
            f"{path}: expected {(FORMAT, ARCHITECTURE)}, got {found}; make it with `recon encoders convert IN OUT`"
        )
    parts = (("settings", "null"), ("subjects", "[]"), ("card", "{}"))
    tree, named, card = (from_json(header.get(part, empty), where=f"{path}: {part}") for part, empty in parts)
    if not isinstance(named, list) or not isinstance(card, dict):
        raise InputError(f"{path}: expected a list of subjects and a card, got other values; train it again")
    settings = from_mapping(DwiseSettings, tree, where=f"{path}: settings")
    subjects = tuple(from_mapping(Subject, entry, where=f"{path}: subjects") for entry in named)
    counts = tuple(len(subject.neuron_ids) for subject in subjects)
    if subjects and counts != settings.readout_outputs:
        raise InputError(f"{path}: expected {settings.readout_outputs} named neurons, got {counts}; train it again")
    return Published(settings, tensors, card, subjects)


def _write_converted(target: Path, found: Published, card: Mapping[str, Any]) -> None:
    settings = dataclasses.asdict(found.settings)
    header = {"format": FORMAT, "architecture": ARCHITECTURE, "settings": json.dumps(settings)}
    if found.subjects:
        header["subjects"] = json.dumps([dataclasses.asdict(subject) for subject in found.subjects])
    # Memory-mapped tensors share one storage, so each is cloned.
    tensors = {name: value.clone().contiguous() for name, value in found.tensors.items()}
    write_bytes(target, save(tensors, {**header, "card": json.dumps(card)}))
    text = json.dumps({"architecture": ARCHITECTURE, "settings": settings, **card}, indent=2)
    write_bytes(target.with_suffix(".json"), (text + "\n").encode())


def _write_argus(target: Path, found: Published, card: Mapping[str, Any]) -> None:
    import io

    buffer = io.BytesIO()
    name, params = card.get("model_name", "MouseModel"), card.get("params") or to_params(found.settings)
    torch.save({"model_name": name, "params": params, "nn_state_dict": found.tensors}, buffer)
    write_bytes(target, buffer.getvalue())
