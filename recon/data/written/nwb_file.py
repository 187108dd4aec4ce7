"""NWB files: pynwb is imported here, on demand; a file is written aside and renamed, and is never read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.layout import Array
from recon.errors import InputError
from recon.files import replacing
from recon.files.code_version import installed_version

UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
"""Session start of recordings whose date is unknown; NWB requires one."""
ANIMAL = "http://purl.obolibrary.org/obo/NCBITaxon_33208"
"""NCBI taxon of all animals (Metazoa): the species of a subject of unknown species."""
MOUSE = re.compile(r"(?:dynamic|static)(\d{5})-\d+-\d+")
"""Names of the public Sensorium recordings: the animal's number, session and scan."""
CHUNK = 16
"""Samples of a compressed piece of a series."""
SIMULATED = ("simulated", "predicted")


@dataclass(frozen=True)
class NwbSession:
    """What identifies a session in an NWB file: `start` (None if unknown), subject, species and sex ("" if unknown)."""

    start: datetime | None = None
    subject: str = ""
    species: str = ""
    sex: str = ""

    def __post_init__(self) -> None:
        if self.start is not None and (self.start.tzinfo is None or self.start > datetime.now(UTC)):
            raise InputError(
                f"start: expected a date and time in the past with its zone, got {self.start.isoformat()}; write for "
                "example 2024-05-01T10:00+02:00"
            )
        if self.sex not in ("", "M", "F", "O", "U") or "/" in self.subject:
            raise InputError(
                f"subject: expected an id without slashes and the sex M, F, O or U, got {self.subject!r} and "
                f"{self.sex!r}; correct them"
            )


def check_nwb(path: Path, *, overwrite: bool) -> None:
    """Raise InputError without pynwb, for a name that is not .nwb, and for a file that is there already."""
    if find_spec("pynwb") is None:
        raise InputError("NWB: expected the package pynwb, got none; install it by `pip install 'recon[nwb]'`")
    if path.suffix != ".nwb":
        raise InputError(f"{path}: expected a name that ends in .nwb, got {path.name}; rename it")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path}: expected no file of this name, got one; name another, or add --overwrite")


def new_nwb(session: NwbSession, *, name: str, identifier: str, about: str, activity: str) -> Any:
    """Return an empty NWB file; `about` says what it holds, `activity` whether responses were recorded."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    dated = "" if session.start else " Date and time of the session are unknown: 1970-01-01 stands for them."
    known = MOUSE.match(name)
    subject = session.subject or (known.group(1) if known else f"unknown, recording {name}".replace("/", "-"))
    said = "the animal of the recording" if session.subject or known else "the animal is unknown"
    return NWBFile(
        session_description=f"{about}{dated}",
        identifier=identifier,
        session_start_time=session.start or UNKNOWN_START,
        session_id=name.replace("/", "-") or None,
        experiment_description=about,
        keywords=["visual cortex", "movie", "recon"],
        was_generated_by=[["recon", installed_version("recon") or "unknown"]],
        subject=Subject(
            subject_id=subject,
            species=session.species or ("Mus musculus" if known else ANIMAL),
            sex=session.sex or "U",
            age="P0D/",
            description=f"no animal: the activity is {activity}" if activity in SIMULATED else said,
        ),
    )


def write_nwb(path: Path, file: Any) -> None:
    """Write an NWB file, complete or not at all."""
    from pynwb import NWBHDF5IO

    with replacing(path) as stream, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not end in '.nwb'")  # the temporary name, renamed at the end
        with NWBHDF5IO(stream.name, "w") as target:
            target.write(file)


def timing(times: Array, rate: float) -> dict[str, Any]:
    """Return the clock of a series: start and rate of regular times, else a timestamp for every sample.

    >>> timing(np.array([0.5, 1.0, 1.5]), 2.0)
    {'starting_time': 0.5, 'rate': 2.0}
    """
    if bool(np.allclose(np.diff(times), 1 / rate, rtol=0, atol=1e-9)):
        return {"starting_time": float(times[0]), "rate": float(rate)}
    return {"timestamps": np.asarray(times, dtype=np.float64)}


def streamed(samples: Iterable[Array], shape: tuple[int, ...]) -> Any:
    """Return samples of one shape as compressed data, which are read while they are written."""
    from pynwb import DataChunkIterator, H5DataIO

    read = DataChunkIterator(data=samples, buffer_size=CHUNK)
    return H5DataIO(read, compression="gzip", chunks=(CHUNK, *shape))


def table(name: str, about: str, columns: Mapping[str, tuple[str, Sequence[Any] | Array]]) -> Any:
    """Return a table of columns (description, values)."""
    from pynwb.core import DynamicTable, VectorData

    stored = [VectorData(name=key, description=text, data=list(values)) for key, (text, values) in columns.items()]
    return DynamicTable(name=name, description=about, columns=stored)


def facts_table(facts: Mapping[str, object]) -> Any:
    """Return the table `provenance` of names and values as text."""
    texts = ("what is stated", list(facts)), ("its value, as text", [str(value) or "none" for value in facts.values()])
    return table("provenance", "Where the content of this file comes from.", {"fact": texts[0], "value": texts[1]})


def flat(facts: Mapping[str, Any], *, below: str = "") -> dict[str, object]:
    """Return nested mappings as one, with dotted names.

    >>> flat({"a": {"b": 1, "c": [2, 3]}, "d": ""})
    {'a.b': 1, 'a.c': '2, 3', 'd': ''}
    """
    found: dict[str, object] = {}
    for key, value in facts.items():
        name = f"{below}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, below=f"{name}.")
        elif isinstance(value, list | tuple):
            found[name] = ", ".join(map(str, value))
        else:
            found[name] = value
    return found
