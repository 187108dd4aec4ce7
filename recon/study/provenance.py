"""Dependencies of a method beside its settings: artefacts and their learning time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from recon.files.code_version import parts_of
from recon.methods.artefacts import learning_seconds


def learning_time(method: object) -> float:
    """Return the seconds of learning behind a fitted method, each artefact counted once."""
    return sum(learning_seconds(path) for path in artefacts_of(method) if path.exists())


def artefacts_of(method: object) -> set[Path]:
    """Return the artefacts of a fitted method and of the methods inside it."""
    found = (value for part in parts_of(method) for name, value in _entries(part) if name == "artefact")
    return {path for path in found if isinstance(path, Path)}


def _entries(record: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(record):
        yield from ((field.name, getattr(record, field.name)) for field in fields(record))
