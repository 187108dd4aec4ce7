"""Files that settings name: they count by their content, because a name may hold something else tomorrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from glob import escape
from pathlib import Path

from recon.data.content import content_of
from recon.encoders.checkpoints import SHIPPED as ENCODERS
from recon.files.code_version import parts_of
from recon.files.weights import places
from recon.priors.weights_file import SHIPPED as PRIORS

DECODERS = Path(__file__).parent / "neural/weights"
WEIGHTS, ARTEFACT = "weights", "artefact"
"""Fields of records: a file or shipped name of weights; what the record has learnt, which is named by its content."""


def content_named(settings: object) -> list[str]:
    """Return content hashes of what the records in `settings` name in text fields, in the order of the names.

    These are files, folders (pipelines, text encoders), tables of captions ("TABLE:CAPTIONER") and weights, shipped
    ones included. Weights that are absent give "no NAME"; a text that names no file gives nothing.
    """
    found = []
    for name, weights in sorted(set(_named(settings))):
        named = [*_places(name), *(_places(name.rpartition(":")[0]) if not weights else ())]
        found += [content_of(place) for place in named] or ([f"no {name}"] if weights else [])
    return found


def content_named_in(tree: object) -> list[str]:
    """Return content hashes of the files, folders and shipped weights that the texts of a configuration name."""
    if isinstance(tree, Mapping):
        return [content for value in tree.values() for content in content_named_in(value)]
    if isinstance(tree, list | tuple):
        return [content for value in tree for content in content_named_in(value)]
    return [content_of(place) for place in _places(str(tree))] if isinstance(tree, str | Path) else []


def _named(settings: object) -> Iterator[tuple[str, bool]]:
    """Yield the texts and paths in fields of records, and whether they are weights; fields of choices are left out."""
    for part in parts_of(settings):
        for field in fields(part) if is_dataclass(part) else ():
            value = getattr(part, field.name)
            chosen = field.name == ARTEFACT or "Literal" in str(field.type)
            if value and isinstance(value, str | Path) and not chosen:
                yield str(value), field.name == WEIGHTS


def _places(name: str) -> list[Path]:
    """Return the existing files and folders of a name, itself or shipped; "{seed}" stands for anything."""
    if not name.strip("./ ") or "\0" in name:
        return []
    found = places(name, ENCODERS, PRIORS, DECODERS)
    patterns = [(place.parent, escape(place.name).replace("{seed}", "*")) for place in found]
    try:
        return [file for folder, pattern in patterns for file in sorted(folder.glob(pattern))]
    except OSError:  # a text that is too long to name a file
        return []
