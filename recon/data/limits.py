"""Limits on unpacking: a small file must not fill the memory, whatever it claims to hold."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

from recon.errors import InputError

VARIABLE = "RECON_UNPACKED_GB"
"""Environment variable that replaces the limit, in GB (10⁹ bytes)."""
LEAST, RATIO = 256 * 2**20, 200
"""Bytes that any file may unpack to, and bytes unpacked per byte stored; sparse calcium traces reach about 100."""


def allowed(stored: int) -> int:
    """Return how many bytes may be unpacked from `stored` bytes on disk.

    >>> allowed(1000), allowed(10**9)
    (268435456, 200000000000)
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return max(LEAST, RATIO * stored)
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise InputError(f"{VARIABLE}: expected a number of GB above 0, got {text!r}; correct or unset it")
    return int(size * 1e9)


def check_unpacked(name: str, size: int, stored: int) -> None:
    """Raise InputError if `size` bytes are more than may be unpacked from `stored` bytes on disk."""
    limit = allowed(stored)
    if size > limit:
        raise InputError(
            f"{name}: expected at most {limit / 1e9:.3g} GB unpacked, got {size / 1e9:.3g} GB or more; if you trust "
            f"the file, set the environment variable {VARIABLE}={math.ceil(size / 1e9)}"
        )


def gunzip(path: Path) -> bytes:
    """Return the unpacked content of a .gz file; raises InputError above the limit and for a damaged file."""
    stored = path.stat().st_size
    limit = allowed(stored)
    try:
        with gzip.open(path) as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a complete .gz file, got {error}; copy it again") from error
    check_unpacked(str(path), len(content), stored)
    return content
