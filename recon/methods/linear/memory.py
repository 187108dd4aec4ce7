"""Memory of the matrices of a regression, known before they are made."""

from __future__ import annotations

import os
from pathlib import Path

from recon.errors import InputError

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux states the limit of a container."""


def refuse_more(needed: int) -> None:
    """Raise InputError if a regression needs more bytes than this machine has."""
    there = memory()
    if needed > there:
        raise InputError(
            f"ridge: expected {needed / 1e9:.1f} GB of memory for its matrices, got {there / 1e9:.1f} GB on this "
            "machine; take fewer neurons, lags.bases or training trials (`data` of the row), or a larger machine"
        )


def memory() -> int:
    """Return the memory of the machine in bytes, or of the container that it allows."""
    known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in LIMITS:
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        known += [int(text)] if text.isdigit() else []
    return min(known)
