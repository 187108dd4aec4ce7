"""Folders of runs: content, export and removal."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.files import one_writer
from recon.study.store import Store

INPUTS = ("config.yaml", "environment.json")
"""Files that identify a run."""
SHOWN = ("recording.json", "neuron_sets.json", "results.csv", "ablation.json", "information.json", "report.html")
"""Exported files of a run, besides inputs and tasks, where present."""
TASK_FILES = ("config.yaml", "row.json", "curves.json", "trace.jsonl", "manifest.json")
"""Exported files of a task; movies only on request."""
DEPTH = 4
"""Maximum depth of the search for runs below a folder."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every file in an archive, so that equal content gives an identical archive."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, read lazily."""

    folder: Path

    @classmethod
    def of(cls, folder: Path) -> RunFolder:
        """Return the run in a folder; raises InputError if it is not one."""
        lacking = [name for name in INPUTS if not (folder / name).is_file()]
        if lacking:
            raise InputError(f"{folder}: expected a run's folder, got no {lacking[0]} in it; see `recon runs list`")
        return cls(folder)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Software environment of the run."""
        found: dict[str, Any] = json.loads((self.folder / "environment.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """Rows of the results table; empty before the first task is finished."""
        table = self.folder / "results.csv"
        if not table.is_file():
            return []
        with table.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    @property
    def tasks(self) -> dict[str, int]:
        """Numbers of finished, unfinished and retired tasks."""
        places = {"finished": "tasks", "unfinished": "partial", "retired": "retired"}
        return {kind: sum(1 for _ in (self.folder / place).glob("*")) for kind, place in places.items()}

    @property
    def changed(self) -> float:
        """Last modification of inputs or results, in seconds since 1970."""
        found = (self.folder / name for name in (*INPUTS, "results.csv"))
        return max(path.stat().st_mtime for path in found if path.exists())

    @property
    def size(self) -> int:
        """Size on disk in bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def runs_below(root: Path) -> Iterator[RunFolder]:
    """Yield the runs in and below a folder, by name; runs are not nested."""
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder with runs, got none; name one")
    yield from _runs(root, DEPTH)


def _runs(folder: Path, depth: int) -> Iterator[RunFolder]:
    if all((folder / name).is_file() for name in INPUTS):
        yield RunFolder(folder)
    elif depth:
        for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
            yield from _runs(child, depth - 1)


def remove(run: RunFolder, *, leftovers: bool = False) -> int:
    """Remove a run, or with `leftovers` only its unfinished and retired tasks; return the bytes freed.

    Raises InputError while a command writes to the run. The folder is renamed before deletion, so that no partial run
    remains under its name.
    """
    with one_writer(run.folder):
        before = run.size
        if leftovers:
            for name in ("partial", "retired"):
                shutil.rmtree(run.folder / name, ignore_errors=True)
            return before - run.size
        aside = run.folder.with_name(f".{run.folder.name}.removed.{os.getpid()}")
        run.folder.rename(aside)
    shutil.rmtree(aside)
    return before


def export(run: RunFolder, archive: Path, *, movies: bool = False) -> int:
    """Write a run as a ZIP archive with the SHA-256 of every file in `SHA256SUMS`; return the number of files.

    Contains the finished tasks of the run, with `movies` also their reconstructions. Equal content gives an identical
    archive.
    """
    if archive.suffix != ".zip":
        raise InputError(f"{archive}: expected a name that ends in .zip, got {archive.name}; rename it")
    names = _exported(run, movies)
    archive.parent.mkdir(parents=True, exist_ok=True)
    aside = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as target:
            sums = [f"{_put(target, run.folder / name, name)}  {name}\n" for name in names]
            target.writestr(zipfile.ZipInfo("SHA256SUMS", EPOCH), "".join(sums))
        aside.replace(archive)
    finally:
        aside.unlink(missing_ok=True)
    return len(names)


def _exported(run: RunFolder, movies: bool) -> list[str]:
    store, wanted = Store(run.folder), (*TASK_FILES, *(("movie.h5",) if movies else ()))
    done = sorted(path.name for path in (run.folder / "tasks").glob("*") if store.complete(path.name))
    own = (*INPUTS, *SHOWN, *(("clips.h5",) if movies else ()))
    names = [*own, *(f"tasks/{key}/{name}" for key in done for name in wanted)]
    return [name for name in names if (run.folder / name).is_file()]


def _put(archive: zipfile.ZipFile, path: Path, name: str) -> str:
    """Add a file to an archive in chunks; return its SHA-256."""
    entry, digest = zipfile.ZipInfo(name, EPOCH), hashlib.sha256()
    entry.compress_type = zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()
