"""Memory on a CPU: what is freed is kept for the next tensor of the same size instead of going back to the system."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MAP_MAX = -1, -4
"""M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h."""
NEVER_TRIMMED = 2**31 - 1
"""Bytes, the largest that fits."""


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on, and return whether the C library can (glibc: Linux).

    By default every tensor above 32 MB is mapped anew, and the system clears its pages one by one: for the wide layers
    of DwiseNeuro this costs as much as their arithmetic. The process then holds its peak until it ends.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(tune(MAP_MAX, 0)) and bool(tune(TRIM_THRESHOLD, NEVER_TRIMMED))
