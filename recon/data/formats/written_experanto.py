"""experanto folders that recon wrote (`recon data convert --to experanto`), read back frame by frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recon.data.formats import experanto
from recon.data.formats.session import Session
from recon.data.header import HEADER_FILE, parsed_header, read_header, read_neurons


def looks_like(path: Path) -> bool:
    """Return whether a folder is an experanto recording with the header of ours."""
    return experanto.looks_like(path) and (path / HEADER_FILE).is_file()


def read(path: Path) -> Session:
    """Return the session of a folder; its presentations are whole trials."""
    session, entries = experanto.read(path), read_header(path)
    header, activity = parsed_header(path, entries), entries["made_by"].get("activity")
    return replace(
        session,
        name=header.name or session.name,
        areas=_areas(path / "responses/meta/area.npy", len(session.unit_ids)),
        degrees_per_pixel=header.degrees_per_pixel,
        rate=header.frame_rate,
        signal=header.signal,
        whole=True,
        origin={"activity": activity if isinstance(activity, str) else "recorded", "written_by_recon": path.name},
        decided={
            **session.decided,
            "rate": f"{header.frame_rate:g} Hz, as written",
            "clock": "frame by frame, as written",
            "tiers": "as written",
        },
    )


def _areas(file: Path, units: int) -> tuple[str, ...]:
    empty = np.zeros(units, dtype="U1")
    return tuple(str(area) for area in read_neurons(file, empty, neurons=units)) if file.is_file() else ()
