"""Memory on a CPU: freed memory is kept for later tensors instead of being returned to the system."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MAP_MAX = -1, -4
"""M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h."""
NEVER_TRIMMED = 2**31 - 1
"""Bytes, the largest that fits."""


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on; return whether the C library supports it (glibc: Linux).

    A setting of the whole process, for commands and their workers only. By default every tensor above 32 MB is mapped
    anew, and the system clears its pages one by one: for the wide layers of DwiseNeuro this costs as much as their
    arithmetic. The process then holds its peak until it ends.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(tune(MAP_MAX, 0)) and bool(tune(TRIM_THRESHOLD, NEVER_TRIMMED))
