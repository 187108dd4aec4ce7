"""Locks between processes; the system releases those of a killed process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
"""Name of the lock file inside a folder with one writer."""
FOREVER = -1.0


def take(path: Path, *, seconds: float = 0.0) -> BaseFileLock | None:
    """Lock a file, created if missing, until `release`; None if another process still holds it after `seconds`."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=seconds, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


@contextmanager
def one_writer(root: Path) -> Iterator[None]:
    """Lock a run directory against a second writer."""
    root.mkdir(parents=True, exist_ok=True)
    lock = take(root / LOCK)
    if lock is None:
        raise InputError(f"{root}: expected no other writer, got a command that is running; wait for it")
    with _released(lock):
        yield


@contextmanager
def one_at_a_time(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lock `.NAME.lock` beside a path; if another process holds it, call `waiting` once and wait.

    The empty file stays: removing it would let two processes lock the same name. Raises InputError where the folder is
    not writable.
    """
    beside = path.with_name(f".{path.name}.lock")
    try:
        lock = take(beside)
    except OSError as error:
        raise InputError(
            f"{beside.parent}: expected a folder that can be written to, got {error.strerror or error}; choose another"
        ) from error
    if lock is None:
        waiting()
        lock = take(beside, seconds=FOREVER)
    with _released(lock):
        yield


@contextmanager
def _released(lock: BaseFileLock | None) -> Iterator[None]:
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
