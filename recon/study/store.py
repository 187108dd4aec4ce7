"""Task directories of a run: immutable, named by the key of the task, written aside, fsynced and renamed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.files import flush, flush_all
from recon.study import manifest
from recon.study.manifest import MANIFEST

ROW = "row.json"
"""Rows of the table that a task computed, in its directory."""


@dataclass(frozen=True)
class Store:
    """The task directories of a run: `tasks/<key>` is complete or absent, `partial/<key>` is in progress.

    A directory whose files are not as its manifest says is damaged: it counts as absent, and is kept in `damaged/`.
    """

    root: Path

    def directory(self, key: str) -> Path:
        """Return the directory of the finished task."""
        return self.root / "tasks" / key

    def partial(self, key: str) -> Path:
        """Return the directory of the unfinished task, created if absent."""
        folder = self.root / "partial" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def complete(self, key: str) -> bool:
        """True for a finished task whose files all have the content in its manifest."""
        return self.directory(key).is_dir() and not self.harm(key)

    def harm(self, key: str) -> str:
        """Return what is wrong with a finished task's files; empty where nothing is, or where the task is absent."""
        folder = self.directory(key)
        return manifest.harm(folder, of=key, needs=[ROW]) if folder.exists() else ""

    def current(self, key: str, artefacts: Path) -> bool:
        """True for a finished task whose learnt artefacts are all still in their folder."""
        return self.complete(key) and all((artefacts / name).exists() for name in self._row(key).get("artefacts", ()))

    def publish(self, key: str, *, drop: Sequence[str] = ()) -> Path:
        """Rename the unfinished task to the finished one, atomically; files named in `drop` are deleted first.

        So are hidden files: temporary ones of a process that was killed while it wrote.
        """
        partial, final = self.partial(key), self.directory(key)
        for path in (*(partial / name for name in (*drop, MANIFEST)), *partial.glob(".*")):
            path.unlink(missing_ok=True)
        files = sorted(path for path in partial.iterdir() if path.is_file())
        manifest.seal(partial, [path.name for path in files], of=key)
        flush_all(partial)
        if final.exists():
            self.set_aside(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(final)
        flush(final.parent)
        return final

    def set_aside(self, key: str) -> Path:
        """Move the directory of a finished task to `damaged/`; return its new place."""
        names = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
        target = next(place for place in (self.root / "damaged" / name for name in names) if not place.exists())
        target.parent.mkdir(parents=True, exist_ok=True)
        self.directory(key).rename(target)
        return target

    def select(self, keys: Iterable[str]) -> None:
        """Keep the named tasks in `tasks/`; move others to `retired/`, from where they return once named again."""
        wanted = set(keys)
        places = (self.root / "tasks", self.root / "retired")
        for source, target in (places, places[::-1]):
            for folder in sorted(source.glob("*")) if source.exists() else ():
                if (folder.name in wanted) == (target is places[0]) and not (target / folder.name).exists():
                    target.mkdir(parents=True, exist_ok=True)
                    folder.rename(target / folder.name)

    def rows(self, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield the table rows of finished tasks, in the order of the keys."""
        for key in keys:
            if self.complete(key):
                yield from self._row(key)["rows"]

    def _row(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory(key) / ROW).read_text(encoding="utf-8"))
        return found


def read_task(folder: Path) -> list[dict[str, Any]]:
    """Return the table rows of a finished task's directory; raises InputError, naming the file, if it is damaged."""
    manifest.check(folder, of=folder.name, needs=[ROW])
    rows: list[dict[str, Any]] = json.loads((folder / ROW).read_text(encoding="utf-8"))["rows"]
    return rows
