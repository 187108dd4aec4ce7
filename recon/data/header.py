"""Metadata of a recording: its header, neuron and trial arrays, and captions, checked when they are read."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field

from recon.data.layout import TIERS_FILE, Array, load_array
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Positive, Some, Whole
from recon.files.weights import from_json, from_mapping
from recon.types import AcquisitionTimes

Record = TypeVar("Record")
HEADER_FILE = Path("meta/recording.json")
CAPTIONS_FILE = Path("meta/trials/captions.jsonl")
MEND = "correct the file, or write the recording again"


@dataclass(frozen=True)
class SamplingTimes:
    """Sampling of the microscope in a header: `rate` in Hz and `phase` in seconds, one per imaging plane."""

    rate: Positive
    phase: Annotated[tuple[NonNegative, ...], Some]


@dataclass(frozen=True)
class Header:
    """Known entries of `meta/recording.json`; others are ignored."""

    name: str = ""
    frame_rate: Annotated[Positive, Field(le=10_000)] = 30.0
    degrees_per_pixel: Annotated[Positive, Field(le=360)] = 1.45
    acquisition: SamplingTimes | None = None
    signal: Literal["", "spikes", "deconvolved", "calcium"] = ""
    zeros: Literal["", "counts"] = ""


@dataclass(frozen=True)
class CaptionedScene:
    """Known entries of a scene in a line of `captions.jsonl`: frames [first, end) and their captions."""

    first: Whole
    end: Count
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionLine:
    """Known entries of a line of `captions.jsonl`."""

    trial: Whole
    captions: tuple[str, ...] = ()
    scenes: tuple[CaptionedScene, ...] = ()


def read_header(folder: Path) -> dict[str, Any]:
    """Return the entries of a recording's `meta/recording.json`; empty without that file.

    `made_by` is always a mapping, without the file too.
    """
    file = folder / HEADER_FILE
    found = from_json(_text(file), where=str(file)) if file.is_file() else {}
    made_by = found.get("made_by") or {} if isinstance(found, dict) else None
    if not isinstance(made_by, dict):
        raise InputError(f"{file}: expected a mapping, and a mapping made_by, got other values; {MEND}")
    return {**found, "made_by": made_by}


def parsed_header(folder: Path, entries: Mapping[str, Any]) -> Header:
    """Return the checked entries of a header."""
    return _known(Header, entries, f"{folder / HEADER_FILE}")


def acquisition_times(folder: Path, header: Header, plane: Array) -> AcquisitionTimes | None:
    """Return the sampling times of all neurons; `plane` `(N,)` are their imaging planes."""
    times = header.acquisition
    if times is None:
        return None
    if plane.dtype.kind not in "iu" or plane.ndim != 1 or plane.min() < 0 or plane.max() >= len(times.phase):
        raise InputError(
            f"{folder / 'meta/neurons/plane.npy'}: expected one of the {len(times.phase)} planes of {HEADER_FILE} for "
            f"each neuron, got {plane.dtype} {plane.shape} from {plane.min()} to {plane.max()}; {MEND}"
        )
    return AcquisitionTimes(times.rate, times.phase, tuple(map(int, plane)))


def read_tiers(folder: Path) -> tuple[str, ...]:
    """Return the tier of every trial."""
    tiers = load_array(folder / TIERS_FILE)
    if tiers.dtype.kind not in "US" or tiers.ndim != 1:
        raise InputError(
            f"{folder / TIERS_FILE}: expected words of shape (S,), got {tiers.dtype} {tiers.shape}; {MEND}"
        )
    return tuple(str(tier) for tier in tiers.astype(str))


def read_neurons(file: Path, default: Array, *, neurons: int) -> Array:
    """Return an array with one row per neuron; `default`, which has the kind and the columns, without the file."""
    array = load_array(file) if file.exists() else default
    kinds = "US" if default.dtype.kind == "U" else "fiu"
    if array.shape != (neurons, *default.shape[1:]) or array.dtype.kind not in kinds:
        words = "words" if kinds == "US" else "numbers"
        raise InputError(
            f"{file}: expected the {neurons} neurons of unit_ids.npy as {words} of shape "
            f"{('N', *default.shape[1:])}, got {array.shape[0] if array.ndim else 'one'} in {array.dtype} "
            f"{array.shape}; unpack the recording again"
        )
    return array


def read_video_ids(folder: Path, *, trials: int) -> tuple[str, ...]:
    """Return the content id of every trial; empty without the file."""
    file = folder / "meta/trials/video_ids.npy"
    ids = load_array(file) if file.exists() else np.array([], dtype=str)
    if ids.shape not in ((0,), (trials,)):
        count = len(ids) if ids.ndim == 1 else ids.shape
        raise InputError(f"{file}: expected {trials} ids, got {count}; delete this optional file")
    return tuple(str(i) for i in ids)


def check_statistic(file: Path, array: Array, *, neurons: int | None = None, kept: Array | slice | None = None) -> None:
    """Raise InputError for a training statistic that is not numbers, one row per neuron for responses, or is NaN.

    Only the rows `kept` must be known; None for all.
    """
    fits = neurons is None or array.shape[:1] == (neurons,)
    known = array if kept is None or not fits else array[kept]
    if array.dtype.kind not in "fiu" or not fits or np.isnan(np.atleast_1d(known)[..., 0]).any():
        rows = "" if neurons is None else f" in {neurons} rows"
        raise InputError(
            f"{file}: expected finite numbers{rows}, got {array.dtype} {array.shape}; delete meta/statistics and write "
            "it again"
        )


def read_captions(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the entries of `captions.jsonl` by trial; empty without that file."""
    file, found = folder / CAPTIONS_FILE, {}
    lines = _text(file).split("\n") if file.exists() else []  # splitlines would cut at U+2028 within a caption
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{file}, line {number}"
            entry = from_json(line, where=where)
            found[_checked_line(entry, where).trial] = entry
    return found


def _checked_line(entry: Any, where: str) -> CaptionLine:
    scenes = entry.get("scenes", []) if isinstance(entry, dict) else []
    if not isinstance(scenes, list):
        raise InputError(f"{where}: expected scenes in a list, got {type(scenes).__name__}; {MEND}")
    for number, scene in enumerate(scenes):
        known = _known(CaptionedScene, scene, f"{where}: scenes[{number}]")
        if known.first >= known.end:
            raise InputError(
                f"{where}: expected scenes that end after they begin, got {known.first}–{known.end}; {MEND}"
            )
    return _known(CaptionLine, {**entry, "scenes": []} if isinstance(entry, dict) else entry, where)


def _known(cls: type[Record], entries: Any, where: str) -> Record:
    if not isinstance(entries, Mapping):
        raise InputError(f"{where}: expected a mapping, got {type(entries).__name__}; {MEND}")
    names = inspect.signature(cls).parameters
    return from_mapping(cls, {name: entries[name] for name in names if name in entries}, where=where)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file}: expected text in UTF-8, got {error}; {MEND}") from error
