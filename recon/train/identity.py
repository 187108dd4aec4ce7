"""Identity of a training of `recon train`: its checkpoint is refused by any other."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from recon.files import digest
from recon.files.code_version import code_version

ASIDE = ("recording", "output", "artefacts", "memory", "device")
"""Settings that change no weight: places, the data being known by their content, and devices."""


def identity(chosen: Any, *data: str) -> str:
    """Return a hash of a training's settings (a record), of the fingerprints of its data, and of its code."""
    settings = {entry.name: repr(getattr(chosen, entry.name)) for entry in fields(chosen) if entry.name not in ASIDE}
    return digest([settings, data, code_version(type(chosen).__module__)])
