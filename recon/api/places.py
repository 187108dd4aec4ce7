"""Where the API keeps what it makes when no folder is named: the user's cache folder."""

from __future__ import annotations

from pathlib import Path

from recon.data.content import CACHE, cache_folder
from recon.errors import InputError


def kept(what: str) -> Path:
    """Return a folder in the cache folder, created if absent; raises InputError where it cannot be written."""
    cache = cache_folder()
    remedy = f"set {CACHE} to a folder that can be written"
    if cache is None:
        raise InputError(f"cache: expected a home folder or {CACHE}, got neither; {remedy}")
    place = cache / what
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache: expected to write to {place}, got {error}; {remedy}") from error
    return place


def kept_recordings() -> Path:
    """Return the folder of recordings made of arrays, and of the packaged example."""
    return kept("recordings")


def kept_artefacts() -> Path:
    """Return the folder of what methods learn beforehand."""
    return kept("artefacts")
