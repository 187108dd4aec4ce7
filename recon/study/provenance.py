"""What names a task: the code behind a method, and whether encoder and recording match."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from glob import escape
from pathlib import Path

from torch import nn

from recon.methods.artefacts import learning_seconds
from recon.methods.neural.weights_file import SHIPPED as DECODERS
from recon.priors.weights_file import SHIPPED as PRIORS


def modules_of(*parts: object) -> set[str]:
    """Return the names of the Python modules that define records and torch modules, and what they are made of."""
    return {type(part).__module__ for root in parts for part in _parts(root)}


def learning_time(method: object) -> float:
    """Return the seconds that it took to learn all that a fitted method uses, each artefact counted once."""
    return sum(learning_seconds(path) for path in artefacts_of(method) if path.exists())


def artefacts_of(method: object) -> set[Path]:
    """Return the files with what a fitted method learnt, and what the methods inside it did."""
    found = (value for part in _parts(method) for name, value in _entries(part) if name == "artefact")
    return {path for path in found if isinstance(path, Path)}


def weights_of(method: object) -> list[str]:
    """Return hashes of the weights that a method and those inside it name: the same name may hold others tomorrow."""
    named = (value for part in _parts(method) for name, value in _entries(part) if name == "weights")
    found = []
    for weights in sorted({value for value in named if isinstance(value, str) and value}):
        places = [Path(weights), *(folder / f"{weights}.safetensors" for folder in (PRIORS, DECODERS))]
        names = [(place.parent, escape(place.name).replace("{seed}", "*")) for place in places]
        files = [file for folder, name in names for file in sorted(folder.glob(name))]
        found += [hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files] or [f"no {weights}"]
    return found


def planned_iterations(method: object) -> int | None:
    """Return how many iterates a method will yield at most, where it or the method inside it says so."""
    values = dict(_entries(method))
    iterations = values.get("iterations")
    if isinstance(iterations, int):
        return iterations
    return planned_iterations(values["method"]) if "method" in values else None


def _parts(root: object) -> Iterator[object]:
    if isinstance(root, nn.Module):
        yield from root.modules()
    elif is_dataclass(root):
        yield root
        for _, value in _entries(root):
            yield from _parts(value)
    elif isinstance(root, Mapping):
        for value in root.values():
            yield from _parts(value)
    elif isinstance(root, tuple):
        for value in root:
            yield from _parts(value)


def _entries(record: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(record):
        yield from ((field.name, getattr(record, field.name)) for field in fields(record))
