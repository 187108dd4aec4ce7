"""Folders of runs: content, export and removal."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.files import MARKER, check_ours, kind_of, mark, read_json, replacing
from recon.files.locks import one_writer
from recon.files.paths import check_writable
from recon.study import manifest
from recon.study.manifest import MANIFEST, RUN
from recon.study.outputs import read_results
from recon.study.settings import Settings
from recon.study.store import Store

INPUTS = ("config.yaml", "environment.json")
"""Files that identify a run."""
SHOWN = (
    *("recording.json", "neuron_sets.json", "results.csv", "identification.csv"),
    *("ablation.json", "words.json", "words.csv", "information.json", "report.html"),
)
"""Exported files of a run, besides inputs and tasks, where present."""
TASK_FILES = ("config.yaml", "row.json", "curves.json", "trace.jsonl", MANIFEST)
"""Exported files of a task; movies only on request."""
DEPTH = 4
"""Maximum depth of the search for runs below a folder."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every file in an archive, so that equal content gives an identical archive."""
KEY = r"[0-9a-f]{16}"
LEFTOVERS = ("partial", "retired", "damaged")
OWN = re.compile(
    rf"({'|'.join(map(re.escape, {*INPUTS, *SHOWN, MARKER, MANIFEST, 'clips.h5', '.lock'}))})"
    rf"|(tasks|{'|'.join(LEFTOVERS)}|tuning)/{KEY}(-\d+)?"
    r"/(config\.yaml|row\.json|curves\.json|manifest\.json|movie\.h5|trace\.jsonl|readings\.jsonl|state\.\w+)"
    r"|tensorboard/.+/events\.out\.tfevents\.[^/]+"
    rf"|artefacts/\.?[\w ,+-]+-{KEY}\.(safetensors|training|safetensors\.lock|safetensors\.damaged)"
    r"|(.+/)?\.[^/]+\.(\d+|aside|part)"
)
"""Names, relative to a run, of the files that recon writes there; the last are writes that a kill interrupted."""
OWN_FOLDERS = re.compile(rf"(tasks|{'|'.join(LEFTOVERS)}|tuning|tensorboard|artefacts)(/.+)?")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, read lazily."""

    folder: Path

    @classmethod
    def of(cls, folder: Path) -> RunFolder:
        """Return the run in a folder; raises InputError if it is not one."""
        if folder.is_symlink():
            raise InputError(f"{folder}: expected a run's folder, got a link to {folder.resolve()}; name that")
        if kind_of(folder) != RUN:
            raise InputError(
                f"{folder}: expected a run's folder, got no {MARKER} that marks it as one; see `recon runs list`, or "
                "mark a run of an earlier version by `recon runs adopt`"
            )
        return cls(folder.resolve() if folder.name in ("", "..") else folder)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Software environment of the run."""
        return read_json(self.folder / "environment.json")

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """Rows of the results table; empty before the first task is finished."""
        table = self.folder / "results.csv"
        return read_results(table) if table.is_file() else []

    @property
    def tasks(self) -> dict[str, int]:
        """Numbers of finished, unfinished and retired tasks."""
        places = {"finished": "tasks", "unfinished": "partial", "retired": "retired", "damaged": "damaged"}
        return {kind: sum(1 for _ in (self.folder / place).glob("*")) for kind, place in places.items()}

    @property
    def changed(self) -> float:
        """Last modification of inputs or results, in seconds since 1970."""
        found = (self.folder / name for name in (*INPUTS, "results.csv"))
        return max((path.stat().st_mtime for path in found if path.exists()), default=self.folder.stat().st_mtime)

    @property
    def size(self) -> int:
        """Size on disk in bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def check_run(settings: Settings) -> None:
    """Raise InputError, before anything is written, unless the folder of a run is new or that of a run."""
    run, recordings = settings.run.resolve(), [settings.recording, *(a.recording for a in settings.animals.values())]
    for recording in recordings:
        if recording.resolve() in (run, *run.parents):
            raise InputError(
                f"run: expected a folder outside the recording {recording}, got {settings.run}; name another"
            )
    check_ours(settings.run, RUN, also="; `recon runs adopt` marks a run of an earlier version")
    check_writable(settings.run, key="run")


def runs_below(root: Path) -> Iterator[RunFolder]:
    """Yield the runs in and below a folder, by name; runs are not nested."""
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder with runs, got none; name one")
    yield from _runs(root, DEPTH)


def _runs(folder: Path, depth: int) -> Iterator[RunFolder]:
    if kind_of(folder) == RUN:
        yield RunFolder(folder)
    elif depth:
        for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
            yield from _runs(child, depth - 1)


def adopt(folder: Path) -> None:
    """Mark a run of an earlier version as a run; raises InputError for a folder that does not look like one."""
    lacking = [name for name in (*INPUTS, "results.csv", "tasks") if not (folder / name).exists()]
    if lacking or not any((folder / "tasks").glob(f"*/{MANIFEST}")):
        got = f"no {lacking[0]}" if lacking else "no finished task"
        raise InputError(f"{folder}: expected a run of an earlier version, got {got} in it; name a run's folder")
    mark(folder, RUN)


def own_files(run: RunFolder, *, leftovers: bool = False) -> tuple[list[Path], list[Path]]:
    """Return the files that recon wrote to a run, or to its leftover tasks, and all other files and links there."""
    places = [run.folder / name for name in LEFTOVERS] if leftovers else [run.folder]
    found = sorted(path for place in places for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
    own = [path for path in found if not path.is_symlink() and OWN.fullmatch(path.relative_to(run.folder).as_posix())]
    return own, sorted(set(found) - set(own))


def remove(run: RunFolder, *, leftovers: bool = False) -> tuple[int, list[Path]]:
    """Remove a run, or with `leftovers` only tasks that are not finished; return the bytes freed and what is left.

    Only files that recon wrote are removed; others and links are left. Raises InputError while a command writes to the
    run. The marker goes last: an interrupted removal can be repeated.
    """
    with one_writer(run.folder):
        own, others = own_files(run, leftovers=leftovers)
        freed = sum(path.stat().st_size for path in own)
        for path in sorted(own, key=lambda path: path == run.folder / MARKER):
            path.unlink()
        for folder in sorted(path for path in run.folder.rglob("*") if path.is_dir() and not path.is_symlink())[::-1]:
            if OWN_FOLDERS.fullmatch(folder.relative_to(run.folder).as_posix()) and not any(folder.iterdir()):
                folder.rmdir()
        if not any(run.folder.iterdir()):
            run.folder.rmdir()
    return freed, others


def export(run: RunFolder, archive: Path, *, movies: bool = False) -> int:
    """Write a run as a ZIP archive with the SHA-256 of every file in `SHA256SUMS`; return the number of files.

    Contains the finished tasks of the run, with `movies` also their reconstructions. Equal content gives an identical
    archive.
    """
    if archive.suffix != ".zip":
        raise InputError(f"{archive}: expected a name that ends in .zip, got {archive.name}; rename it")
    names = _exported(run, movies)
    with replacing(archive) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        sums = [f"{_put(target, run.folder / name, name)}  {name}\n" for name in names]
        target.writestr(zipfile.ZipInfo("SHA256SUMS", EPOCH), "".join(sums))
    return len(names)


def _exported(run: RunFolder, movies: bool) -> list[str]:
    store, wanted = Store(run.folder), (*TASK_FILES, *(("movie.h5",) if movies else ()))
    manifest.check(run.folder, of=RUN, needs=INPUTS)
    done = sorted(path.name for path in (run.folder / "tasks").glob("*") if store.complete(path.name))
    own = (MARKER, MANIFEST, *INPUTS, *SHOWN, *(("clips.h5",) if movies else ()))
    names = [name for name in own if _own(run.folder / name)]
    return names + [f"tasks/{key}/{name}" for key in done for name in wanted if _own(run.folder / "tasks" / key / name)]


def _own(path: Path) -> bool:
    """Return whether a file is there; raises InputError for a link, which may lead out of the run."""
    if path.is_symlink() or path.parent.is_symlink():
        raise InputError(f"{path}: expected a file of the run, got a link to {path.resolve()}; copy it in or remove it")
    return path.is_file()


def _put(archive: zipfile.ZipFile, path: Path, name: str) -> str:
    """Add a file to an archive in chunks; return its SHA-256."""
    entry, digest = zipfile.ZipInfo(name, EPOCH), hashlib.sha256()
    entry.compress_type = zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    return digest.hexdigest()
