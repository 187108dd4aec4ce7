"""Caption tables: captions of frames of a recording by one or several captioners."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from recon.data.layout import ABSENT
from recon.data.limits import check_unpacked
from recon.errors import InputError
from recon.types import Recording

COLUMNS = ("trial", "first", "end", "captioner", "text")
ROWS = 64
"""Rows of a Parquet file unpacked at once: many may refer to one long text."""


class Said(NamedTuple):
    """A caption of frames [first, end) of a trial."""

    trial: int
    first: int
    end: int
    captioner: str
    text: str


def read_captions(path: Path, recording: Recording) -> dict[str, list[Said]]:
    """Return the captions in a file by captioner; CSV, JSON (a list), JSON lines or Parquet with `COLUMNS`.

    A caption without `first` and `end` covers its whole trial. Raises InputError for rows that do not fit the recording
    and for overlapping captions of one captioner.
    """
    found: dict[str, list[Said]] = {}
    for number, row in enumerate(_rows(path), start=1):
        said = _said(row, recording, where=f"{path}: row {number}")
        found.setdefault(said.captioner, []).append(said)
    if not found:
        raise InputError(f"{path}: expected captions, got none; write a row for each with {', '.join(COLUMNS)}")
    for captions in found.values():
        captions.sort()
        _check_apart(captions, path)
    return found


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    readers = {".csv": _csv, ".json": _json, ".jsonl": _lines, ".parquet": _parquet}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected one of {', '.join(readers)}, got {path.suffix or 'no suffix'}; convert it")
    if not path.is_file():
        raise InputError(f"{path}: expected a file of captions, got none; check the path")
    try:
        rows = readers[path.suffix](path)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{path}: expected a table of captions, got {error}; write it again") from error
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError(f"{path}: expected rows of named values, got {row!r}; write a mapping for each caption")
        yield row


def _csv(path: Path) -> Sequence[Any]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _json(path: Path) -> Sequence[Any]:
    rows = json.loads(path.read_text("utf-8"))
    if not isinstance(rows, list):
        raise InputError(f"a {type(rows).__name__} instead of a list")
    return rows


def _lines(path: Path) -> Sequence[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _parquet(path: Path) -> Sequence[Any]:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        about, stored, size, pieces = file.metadata, path.stat().st_size, 0, []
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        check_unpacked(str(path), sum(group.total_byte_size for group in groups), stored)
        for piece in file.iter_batches(batch_size=ROWS):
            pieces.append(piece)
            size += piece.nbytes
            check_unpacked(str(path), size, stored)
        rows: Sequence[Any] = Table.from_batches(pieces, file.schema_arrow).to_pandas().to_dict("records")
    return rows


def _said(row: Mapping[str, Any], recording: Recording, *, where: str) -> Said:
    trial = _whole(row.get("trial"), f"{where}: trial")
    if not 0 <= trial < len(recording.tiers) or recording.tiers[trial] == ABSENT:
        raise InputError(f"{where}: expected a trial of 0–{len(recording.tiers) - 1} with files, got {trial}; drop it")
    length = recording.length(trial)
    first = 0 if _missing(row.get("first")) else _whole(row["first"], f"{where}: first")
    end = length if _missing(row.get("end")) else _whole(row["end"], f"{where}: end")
    if not 0 <= first < end <= length:
        raise InputError(f"{where}: expected frames within 0–{length}, got {first}–{end}; cut them to the trial")
    captioner, text = (str(row.get(name) or "").strip() for name in ("captioner", "text"))
    if not captioner or not text:
        raise InputError(f"{where}: expected a captioner and a text, got {captioner!r} and {text!r}; complete the row")
    return Said(trial, first, end, captioner, text)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _whole(value: Any, where: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected a whole number, got {value!r}; correct it") from error
    if not number.is_integer():
        raise InputError(f"{where}: expected a whole number, got {value!r}; correct it")
    return int(number)


def _check_apart(captions: Sequence[Said], path: Path) -> None:
    for one, other in pairwise(captions):
        if one.trial == other.trial and other.first < one.end:
            raise InputError(
                f"{path}: expected one caption of {one.captioner} at a time, got two for frame {other.first} of trial "
                f"{one.trial}; give each its own frames"
            )
