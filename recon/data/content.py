"""Identity of files by their content: SHA-256 of all bytes, remembered in a manifest in the user's cache folder.

A remembered hash is trusted while size, modification time, change time, inode and device of the file are those at which
it was hashed, and if both times lay at least `MARGIN` before that moment: a later write could carry the same times (as
git's "racily clean" entries). `distrust` makes this process and those that it starts read everything again. Content is
that of the moment of hashing: files that change while a command reads them are not noticed by that command.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from recon.errors import InputError
from recon.files import digest, write_bytes
from recon.files.paths import user_path

CACHE = "RECON_CACHE"
"""Environment variable: folder of the manifests instead of `$XDG_CACHE_HOME/recon` or `~/.cache/recon`."""
SINCE = "RECON_VERIFY_SINCE"
"""Environment variable: time (ns since 1970) before which remembered hashes count for nothing; set by `distrust`."""
SMALL = 16 * 2**20
"""Bytes below which a folder is always read: that takes as long as looking it up."""
MARGIN = 2 * 10**9
"""Age in ns that a file needs when it is hashed; FAT stores times in steps of 2 s."""
THREADS = min(8, os.cpu_count() or 1)
CHUNK = 2**20
MANIFESTS = 500
"""Most manifests in the cache folder; the oldest are deleted."""
FORMAT = "recon-content-1"
HASH = re.compile(r"[0-9a-f]{64}")


class Known(NamedTuple):
    """A file's hash with the moment at which reading it began and its state then; times in ns."""

    size: int
    modified: int
    changed: int
    inode: int
    device: int
    hashed: int
    content: str

    def holds(self, stat: os.stat_result) -> bool:
        """True where the file is in the same state and was hashed when it was old enough, and not before `SINCE`."""
        same = self[:5] == state_of(stat)
        return same and max(self.modified, self.changed) + MARGIN < self.hashed and _since() <= self.hashed <= _now()


def content_hashes(root: Path, *, inside: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the SHA-256 of every file by its name relative to `root`, sorted by name; ("." for `root` itself, a file).

    `inside` limits them to some subfolders. Hidden files are left out; links are followed. Several threads read; a
    progress bar is shown on terminals after one second.
    """
    found = {os.path.relpath(path, root): (path, stat) for path, stat in _files(root, inside)}
    if sum(stat.st_size for _, stat in found.values()) < SMALL:
        return {name: _hash(path, stat.st_size) for name, (path, stat) in sorted(found.items())}
    manifest = _manifest(root)
    known = {} if manifest is None else _remembered(manifest)
    known = {name: known[name] for name, (_, stat) in found.items() if name in known and known[name].holds(stat)}
    missing = {name: found[name] for name in found if name not in known}
    if missing:
        try:
            for name, entry in _hashed(missing):
                known[name] = entry
        finally:  # what is done when the user interrupts need not be done again
            if manifest is not None:
                _remember(manifest, root, known)
    return {name: known[name].content for name in sorted(known)}


def content_of(path: Path) -> str:
    """Return a short hash of the content of a file, or of the names and contents of all files of a folder."""
    return digest(content_hashes(path))


def cache_folder() -> Path | None:
    """Return the cache folder of this user; None without a home folder and without `$RECON_CACHE`."""
    named, base = os.environ.get(CACHE, ""), Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return user_path(named) if named else (base if base.is_absolute() else Path.home() / ".cache") / "recon"
    except RuntimeError:
        return None


def distrust() -> None:
    """Trust no hash that was computed before now, in this process and in those that it starts."""
    os.environ[SINCE] = str(_now())


def _files(root: Path, inside: tuple[str, ...]) -> Iterator[tuple[Path, os.stat_result]]:
    if root.is_file():
        yield root, root.stat()
    for folder in [root / part for part in inside] or [root]:
        if folder.is_dir():
            yield from _walk(folder, ())


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the visible files below a folder with their state; a link to a folder above is not followed."""
    stat = folder.stat()
    own = stat.st_dev, stat.st_ino
    if own in above:
        return
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        if entry.is_dir():
            yield from _walk(folder / entry.name, (*above, own))
        elif entry.is_file():
            yield folder / entry.name, entry.stat()


def _hashed(files: Mapping[str, tuple[Path, os.stat_result]]) -> Iterator[tuple[str, Known]]:
    """Yield files with their hashes as they are computed."""
    from tqdm import tqdm

    lock, pool = threading.Lock(), ThreadPoolExecutor(THREADS)
    total = sum(stat.st_size for _, stat in files.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc="hashing", leave=False, delay=1, disable=None) as bar:

        def advance(count: int) -> None:
            with lock:
                bar.update(count)

        try:
            jobs = {pool.submit(_entry, path, stat, advance): name for name, (path, stat) in files.items()}
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _entry(path: Path, stat: os.stat_result, advance: Callable[[int], None]) -> Known:
    """Hash a file; one that changes meanwhile keeps its state from before, which will not be found again."""
    began = _now()
    return Known(*state_of(stat), began, _hash(path, stat.st_size, advance))


def _hash(path: Path, size: int, advance: Callable[[int], None] = lambda count: None) -> str:
    """Return the SHA-256 of a file; at most `size` bytes and one chunk are read, so that a growing file ends."""
    sha, buffer = hashlib.sha256(), memoryview(bytearray(min(CHUNK, size + 1)))
    try:
        with path.open("rb", buffering=0) as stream:
            while size >= 0 and (count := stream.readinto(buffer)):
                sha.update(buffer[:count])
                advance(count)
                size -= count
    except OSError as error:
        raise InputError(
            f"{path}: expected a file that can be read, got {error.strerror or error}; make it readable or remove it"
        ) from error
    return sha.hexdigest()


def state_of(stat: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return size, modification time, change time (ns), inode and device of a file."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev


def _since() -> int:
    text = os.environ.get(SINCE, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _now() -> int:
    return time.time_ns()


def _manifest(root: Path) -> Path | None:
    """Return the place of the manifest of a folder or file, named by its absolute path; None without a home."""
    folder = cache_folder()
    return folder and folder / "content" / f"{digest(str(root.resolve()))}.json"


def _remembered(manifest: Path) -> dict[str, Known]:
    """Return the entries of a manifest; empty if it is absent, damaged or of another format."""
    try:
        stored = json.loads(manifest.read_bytes())
        files = stored["files"]
        if stored["format"] != FORMAT or stored["sum"] != digest(files):
            return {}
        return {name: Known(*entry) for name, entry in files.items() if _is_entry(entry)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != len(Known._fields):
        return False
    *numbers, content = entry
    return all(type(number) is int for number in numbers) and isinstance(content, str) and bool(HASH.fullmatch(content))


def _remember(manifest: Path, root: Path, known: Mapping[str, Known]) -> None:
    remember(manifest, {"format": FORMAT, "root": str(root.resolve()), "sum": digest(known), "files": known})


def remember(manifest: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest; a folder that cannot be written to only costs reading again."""
    try:
        manifest.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(manifest, json.dumps(content).encode())
        others = sorted(manifest.parent.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for old in others[:-MANIFESTS]:
            old.unlink(missing_ok=True)
    except OSError:
        return
