"""One process at a time where two would write the same thing."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def one_at_a_time(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold `.NAME.lock` beside a path; while another process holds it, call `waiting` once and wait.

    A killed holder lets go by itself. The empty file stays: to remove it would let two processes hold one name.
    A folder that cannot be written to is a ValueError.
    """
    with _open(path.with_name(f".{path.name}.lock")) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _open(lock: Path) -> TextIO:
    try:
        return lock.open("w")
    except OSError as error:
        raise ValueError(
            f"{lock.parent}: expected a folder that can be written to, got {error.strerror or error}; choose another"
        ) from error
