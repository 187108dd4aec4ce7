"""Manifests: checksums of the files of a task or a run, written with them and verified when they are read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from recon.errors import InputError
from recon.files import digest, file_hash, write_json

MANIFEST = "manifest.json"
RUN = "run"
"""What the manifest of a run's own files is of; that of a task names the task's key."""


def seal(folder: Path, names: Iterable[str], *, of: str) -> None:
    """Record the checksums (SHA-256) of files just written to a folder; those of its other files stay."""
    known = _read(folder, of) or {}
    files = {**known, **{name: file_hash(folder / name) for name in names}}
    _write(folder, files, of)


def unseal(folder: Path, name: str, *, of: str) -> None:
    """Record no checksum of a file any more, before it is written many times."""
    _write(folder, {known: value for known, value in (_read(folder, of) or {}).items() if known != name}, of)


def harm(folder: Path, *, of: str, needs: Iterable[str]) -> str:
    """Return the first file of a folder that is not as it was written, and why; empty where all are.

    `needs`: files that every intact folder has.
    """
    files = _read(folder, of)
    if files is None:
        return f"{MANIFEST} is missing or damaged"
    if lacking := sorted(set(needs) - files.keys()):
        return f"{MANIFEST} lacks {lacking[0]}"
    return next(filter(None, (_changed(folder / name, known) for name, known in files.items())), "")


def intact(folder: Path, name: str, *, of: str = RUN) -> bool:
    """True where a file is as its folder's manifest says."""
    known = (_read(folder, of) or {}).get(name)
    return known is not None and not _changed(folder / name, known)


def check_file(path: Path, *, of: str = RUN) -> None:
    """Raise InputError for a file whose checksum its folder's manifest records, and which is not as it was written."""
    known = (_read(path.parent, of) or {}).get(path.name)
    if known is not None and (found := _changed(path, known)):
        raise InputError(f"{path}: expected it as it was written, got {found}; run the run's configuration again")


def check(folder: Path, *, of: str, needs: Iterable[str] = ()) -> None:
    """Raise InputError, naming the file, where a folder is not as it was written."""
    if found := harm(folder, of=of, needs=needs):
        raise InputError(
            f"{folder}: expected its files as they were written, got {found}; run the run's configuration again, which "
            "computes what is damaged anew"
        )


def _changed(path: Path, known: str) -> str:
    if path.is_symlink():
        return f"{path.name} is a link"
    if not path.is_file():
        return f"{path.name} is missing"
    return "" if file_hash(path) == known else f"{path.name} is damaged or was changed"


def _write(folder: Path, files: Mapping[str, str], of: str) -> None:
    content = {"of": of, "files": dict(sorted(files.items()))}
    write_json(folder / MANIFEST, {**content, "sum": digest(content)})


def _read(folder: Path, of: str) -> dict[str, str] | None:
    """Return the files of a manifest with their checksums; None for a missing or damaged one, or one `of` another."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, Mapping) or found.get("of") != of or not isinstance(found.get("files"), Mapping):
        return None
    files = {str(name): str(known) for name, known in found["files"].items()}
    whole = found.get("sum") == digest({"of": of, "files": files})
    return files if whole and all(name == Path(name).name for name in files) else None
