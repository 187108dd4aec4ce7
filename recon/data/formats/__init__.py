"""Readers of foreign recording formats, detected from the files on disk; each returns a `Session`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recon.data.formats import allen, experanto, nwb, sensorium2022, twin, written_experanto, written_nwb
from recon.data.formats.session import Session
from recon.errors import InputError


@dataclass(frozen=True)
class Format:
    """A foreign format: description, detector and reader."""

    about: str
    looks_like: Callable[[Path], bool]
    read: Callable[[Path], Session]


def _experanto(path: Path) -> Session:
    """Read a folder; one that recon wrote frame by frame."""
    return written_experanto.read(path) if written_experanto.looks_like(path) else experanto.read(path)


def _nwb(path: Path) -> Session:
    """Read a file; one that recon wrote frame by frame."""
    return written_nwb.read(path) if written_nwb.looks_like(path) else nwb.read(path)


FORMATS = {
    "sensorium2022": Format("Sensorium 2022 (static images)", sensorium2022.looks_like, sensorium2022.read),
    "twin": Format("training folders of digital twins", twin.looks_like, twin.read),
    "experanto": Format("experanto folders", experanto.looks_like, _experanto),
    "allen": Format("Allen Brain Observatory, two-photon (NWB 1.0)", allen.looks_like, allen.read),
    "nwb": Format("NWB 2: MICrONS, Allen Neuropixels, any with a mapping", nwb.looks_like, _nwb),
}
"""Readers by name, tried in this order."""


def known_format(path: Path) -> str:
    """Return the name of the format of a file or folder; "" if unknown."""
    return next((name for name, known in FORMATS.items() if known.looks_like(path)), "")


def format_of(path: Path) -> str:
    """Return the name of the format of a file or folder; raises InputError if unknown."""
    if not path.exists():
        raise InputError(f"{path}: expected a recording, got nothing; check the path")
    name = known_format(path)
    if not name:
        raise InputError(
            f"{path}: expected one of {', '.join(known.about for known in FORMATS.values())}, got something else; "
            "import plain arrays with `recon data import`"
        )
    return name
