"""Hidden folders beside a destination: what is written there is complete or absent."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import InputError
from recon.files import flush_all, mark
from recon.files.locks import LOCK, take

if TYPE_CHECKING:
    from filelock import BaseFileLock


def open_hidden(destination: Path, kind: str) -> tuple[Path, BaseFileLock]:
    """Create the hidden folder, locked while this process lives, and remove those of killed processes."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{destination.name}.partial-"
    for left in destination.parent.glob(f"{prefix}*/{LOCK}"):
        _remove_if_dead(left)
    aside = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
    try:
        aside.chmod(0o755)
        mark(aside, kind)
        lock = take(aside / LOCK)
    except (OSError, InputError):
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if lock is None:
        raise InputError(f"{destination}: expected no other command to remove {aside.name}, got one; run it again")
    return aside, lock


def replace_folder(aside: Path, destination: Path) -> None:
    """Flush a hidden folder and rename it to the destination; an old one is moved aside before it is deleted."""
    flush_all(aside)
    if destination.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{destination.name}.old-", dir=destination.parent))
        destination.rename(old / "old")
        aside.rename(destination)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(destination)
    # After the rename: without its lock the hidden folder would be taken for that of a killed process.
    (destination / LOCK).unlink(missing_ok=True)


def _remove_if_dead(left: Path) -> None:
    with contextlib.suppress(OSError, InputError):
        if lock := take(left):
            shutil.rmtree(left.parent, ignore_errors=True)
            lock.release()
