"""Locks between processes; the system releases those of a killed process."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import InputError
from recon.files import check_ours, kind_of, mark

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
"""Name of the lock file inside a folder with one writer."""
FOREVER = -1.0
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""Said by disks of a network that lock no files; the first reads "No locks available"."""


def take(path: Path, *, seconds: float = 0.0) -> BaseFileLock | None:
    """Lock a file, created if missing, until `release`; None if another process still holds it after `seconds`.

    Raises InputError, and leaves no file, on a disk that locks no files.
    """
    from filelock import FileLock, Timeout

    there = path.exists()
    lock = FileLock(path, timeout=seconds, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        if not there:
            _forget(path)
        if error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"{path.parent}: expected a disk that locks files, got {error.strerror}; choose a folder on a local disk, "
            "or ask for locks (flock) on this one"
        ) from error
    return lock


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def one_writer(root: Path, kind: str = "") -> Iterator[None]:
    """Lock a folder against a second writer, and claim it as one of ours of a kind, if one is named.

    Where it cannot be locked, no new folder stays behind.
    """
    if kind:
        check_ours(root, kind)
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = take(root / LOCK)
    except (OSError, InputError) as error:
        for folder in missing:
            with suppress(OSError):  # it is not empty, or was not made
                folder.rmdir()
        if isinstance(error, InputError):
            raise
        raise _unwritable(root, error, "choose another with run=FOLDER") from error
    if lock is None:
        raise InputError(f"{root}: expected no other writer, got a command that is running; wait for it")
    with _released(lock):
        if kind and not kind_of(root):
            mark(root, kind)
        yield


@contextmanager
def one_at_a_time(
    path: Path, *, waiting: Callable[[], None] = lambda: None, remedy: str = "choose another"
) -> Iterator[None]:
    """Lock `.NAME.lock` beside a path; if another process holds it, call `waiting` once and wait.

    The empty file stays: removing it would let two processes lock the same name. Raises InputError with a remedy where
    the folder is not writable.
    """
    beside = path.with_name(f".{path.name}.lock")
    try:
        lock = take(beside)
    except OSError as error:
        raise _unwritable(beside.parent, error, remedy) from error
    if lock is None:
        waiting()
        lock = take(beside, seconds=FOREVER)
    with _released(lock):
        yield


def _unwritable(folder: Path, error: OSError, remedy: str) -> InputError:
    said = error.strerror or error
    return InputError(f"{folder}: expected a folder that can be written to, got {said}; {remedy}")


@contextmanager
def _released(lock: BaseFileLock | None) -> Iterator[None]:
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
