"""Files on disk: atomic writes, content hashes, markers of our own folders."""

from __future__ import annotations

import codecs
import csv
import errno
import filecmp
import functools
import hashlib
import json
import math
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from recon.errors import InputError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MARKER = ".recon.json"
"""File that marks a folder as one of ours; nothing is overwritten or deleted in a folder without it."""
UNCLAIMED = rf"\.{re.escape(MARKER)}\.\w+|\.lock"
"""Names of what a kill leaves in a folder that is not marked yet."""
FLUSHED_AT_ONCE = 16
JUST_NOW = 100_000_000
"""Nanoseconds after a change within which a second one may have the same time stamp."""


def digest(inputs: object) -> str:
    """Return a hash of the inputs as JSON, 16 hexadecimal digits.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits; an unchanged file is read once per process."""
    found = path.stat()
    read = _file_hash.__wrapped__ if time.time_ns() - found.st_ctime_ns < JUST_NOW else _file_hash
    return read(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@functools.lru_cache(maxsize=20_000)
def _file_hash(path: Path, *version: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def kind_of(folder: Path) -> str:
    """Return the kind of a folder of ours, for example "run"; empty for a folder without a marker."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("kind", "")) if isinstance(found, Mapping) else ""


def check_ours(folder: Path, kind: str, *, also: str = "") -> None:
    """Raise InputError unless a folder is absent, empty, or marked as ours of this kind; `also`: further remedy.

    A kill before the marker was written leaves a part of it, or a lock; such a folder is empty.
    """
    if folder == Path():
        raise InputError(f"{kind}: expected a folder of its own, got the current one; name another")
    if kind_of(folder) == kind or not folder.exists():
        return
    if folder.is_dir() and all(re.fullmatch(UNCLAIMED, path.name) for path in folder.iterdir()):
        return
    other = f"one that its {MARKER} calls {kind_of(folder)}" if kind_of(folder) else f"one without a valid {MARKER}"
    got = other if folder.is_dir() else "a file"
    raise InputError(f"{folder}: expected a new folder or recon's own {kind} folder, got {got}; name another{also}")


def claim(folder: Path, kind: str, *, also: str = "") -> None:
    """Create a folder of ours, or check that it is one, before anything else is written to it."""
    check_ours(folder, kind, also=also)
    if not kind_of(folder):
        mark(folder, kind)


def mark(folder: Path, kind: str) -> None:
    """Mark a folder as one of ours."""
    write_json(folder / MARKER, {"kind": kind})


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically: after any failure it holds the old content or the new."""
    if path.is_file() and path.read_bytes() == content:
        return
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` atomically on exit; equal content leaves `path` untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if not (path.is_file() and filecmp.cmp(path, aside, shallow=False)):
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Replace a JSON file atomically; NaN becomes null."""
    write_bytes(path, (json.dumps(finite(content), indent=1, default=str) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of ours, an object; raises InputError, naming the file, for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        found = error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {found}; run what wrote it again")
    return found


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Replace a CSV table atomically, written row by row; undefined numbers are empty fields."""
    with replacing(path) as stream:
        writer = csv.DictWriter(codecs.getwriter("utf-8")(stream), columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in finite(row).items()} for row in rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table; raises InputError, naming the file, for anything else."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV table, got {error}; write it again") from error
    if any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: expected rows of equal length, got another; write the table again")
    return rows


def finite(content: Any) -> Any:
    """Return content with every non-finite number replaced by None.

    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content


def flush(path: Path) -> None:
    """Flush a file or folder to disk (fsync), so that a later rename never points at lost content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(folder: Path) -> None:
    """Flush a folder with everything in it, before it is renamed to its final name.

    A disk writes files that are flushed at the same time together, several times faster than one after another.
    """
    with ThreadPoolExecutor(FLUSHED_AT_ONCE) as pool:
        list(pool.map(flush, folder.rglob("*")))
    flush(folder)


def disk_full(error: BaseException | None) -> bool:
    """True where a full disk caused the error, also through exceptions that wrap it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if "No space left on device" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
