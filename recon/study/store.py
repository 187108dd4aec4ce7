"""Task directories of a run: immutable, named by the key of the task, written aside, fsynced and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.files import flush, write_json


@dataclass(frozen=True)
class Store:
    """The task directories of a run: `tasks/<key>` is complete or absent, `partial/<key>` is in progress."""

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
        """True for a finished task whose files all have the sizes in its manifest."""
        folder = self.directory(key)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            return all((folder / name).stat().st_size == size for name, size in manifest.items())
        except (OSError, ValueError):
            return False

    def current(self, key: str, artefacts: Path) -> bool:
        """True for a finished task whose learnt artefacts are all still in their folder."""
        if not self.complete(key):
            return False
        task = json.loads((self.directory(key) / "row.json").read_text())
        return all((artefacts / name).exists() for name in task.get("artefacts", ()))

    def publish(self, key: str, *, drop: Sequence[str] = ()) -> Path:
        """Rename the unfinished task to the finished one, atomically; files named in `drop` are deleted first."""
        partial, final = self.partial(key), self.directory(key)
        for name in drop:
            (partial / name).unlink(missing_ok=True)
        files = sorted(path for path in partial.iterdir() if path.is_file() and path.name != "manifest.json")
        write_json(partial / "manifest.json", {path.name: path.stat().st_size for path in files})
        for path in (*files, partial):
            flush(path)
        if final.exists():
            shutil.rmtree(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(final)
        flush(final.parent)
        return final

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
                yield from json.loads((self.directory(key) / "row.json").read_text())["rows"]
