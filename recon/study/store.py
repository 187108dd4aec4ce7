"""Results on disk: immutable task directories named by what goes in, written aside, flushed and renamed."""

from __future__ import annotations

import ast
import codecs
import csv
import errno
import filecmp
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

SOURCE = Path(__file__).resolve().parent.parent
PACKAGES = ("recon", "encoders", "priors")
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def digest(inputs: object) -> str:
    """Return 16 hexadecimal digits that name whatever JSON can say about the inputs.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def code_version(*modules: str) -> str:
    """Return a hash of the source of modules and of all that they import from this project.

    It is looked at once in a process, which goes on with the code that it has read.
    """
    files = sorted(_closure(modules))
    return digest([(str(file.relative_to(SOURCE)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])


@dataclass(frozen=True)
class Store:
    """The task directories of a run: `tasks/<key>` is complete or absent, `partial/<key>` unfinished."""

    root: Path

    def directory(self, key: str) -> Path:
        """Return where the finished task stands."""
        return self.root / "tasks" / key

    def partial(self, key: str) -> Path:
        """Return the folder of the unfinished task, made if it is not there."""
        folder = self.root / "partial" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def complete(self, key: str) -> bool:
        """Say whether the task is finished and every file of it has the size that its manifest says."""
        folder = self.directory(key)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            return all((folder / name).stat().st_size == size for name, size in manifest.items())
        except (OSError, ValueError):
            return False

    def current(self, key: str, artefacts: Path) -> bool:
        """True for a finished task all of whose artefacts, what its method learnt, are still in their folder."""
        if not self.complete(key):
            return False
        task = json.loads((self.directory(key) / "row.json").read_text())
        return all((artefacts / name).exists() for name in task.get("artefacts", ()))

    def publish(self, key: str, *, drop: Sequence[str] = ()) -> Path:
        """Turn the partial folder into the finished task in one step; files named in `drop` are left out."""
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
        """Keep the named tasks in `tasks/`; others move to `retired/` and come back when they are named again."""
        wanted = set(keys)
        places = (self.root / "tasks", self.root / "retired")
        for source, target in (places, places[::-1]):
            for folder in sorted(source.glob("*")) if source.exists() else ():
                if (folder.name in wanted) == (target is places[0]) and not (target / folder.name).exists():
                    target.mkdir(parents=True, exist_ok=True)
                    folder.rename(target / folder.name)

    def rows(self, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of finished tasks, in the order of the keys."""
        for key in keys:
            if self.complete(key):
                yield from json.loads((self.directory(key) / "row.json").read_text())["rows"]


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step: whatever happens, the old or the new content stands there."""
    if path.is_file() and path.read_bytes() == content:
        return
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Hand out a file aside that takes the place of `path` in one step when it is written, unless it says the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
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
    """Replace a JSON file in one step; NaN becomes null."""
    write_bytes(path, (json.dumps(finite(content), indent=1, default=str) + "\n").encode())


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Replace a CSV table in one step, row by row; undefined numbers are empty fields."""
    with replacing(path) as stream:
        writer = csv.DictWriter(codecs.getwriter("utf-8")(stream), columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in finite(row).items()} for row in rows)


def finite(content: Any) -> Any:
    """Return content with every number that is not finite replaced by none.

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
    """Wait until a file or folder is on the disk, so that a rename never points at lost content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_full(error: BaseException | None) -> bool:
    """Say whether a full disk is behind an error; libraries in other languages wrap it in words of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if "No space left on device" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Hold a run directory, so that two commands never write it at once; a killed holder lets go by itself."""
    import fcntl

    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{root}: expected no other writer, got a command that is running; wait for it") from error
        yield


def _closure(modules: Iterable[str]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(filter(None, map(_source, modules)))
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(_imports(current))
    return found


@cache
def _imports(file: Path) -> tuple[Path, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(filter(None, map(_source, names)))


def _source(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    path = SOURCE.joinpath(*parts)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
