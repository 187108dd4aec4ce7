"""Writers of recordings in other formats; our own readers read them back with equal numbers."""

from __future__ import annotations

from pathlib import Path

from recon.data.duplicates.find import Progress
from recon.data.sensorium import SensoriumRecording
from recon.data.written import experanto, nwb, sensorium2023
from recon.data.written.nwb_file import NwbSession
from recon.errors import InputError

WRITTEN = ("experanto", "nwb", "sensorium2023")
"""Formats that a recording is written in."""


def write_as(
    recording: SensoriumRecording,
    destination: Path,
    format_name: str,
    *,
    session: NwbSession | None = None,
    overwrite: bool = False,
    progress: Progress = iter,
) -> list[str]:
    """Write a recording in another format; return sentences about what that does not hold. `session` is for NWB."""
    if format_name == "nwb":
        return nwb.write(recording, destination, session or NwbSession(), overwrite=overwrite, progress=progress)
    if session not in (None, NwbSession()) or format_name not in WRITTEN:
        raise InputError(
            f"to: expected one of {', '.join(WRITTEN)}, and start and subject with nwb only, got {format_name}; "
            "correct the options"
        )
    write = experanto.write if format_name == "experanto" else sensorium2023.write
    return write(recording, destination, overwrite=overwrite, progress=progress)
