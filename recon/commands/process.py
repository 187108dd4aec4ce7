"""Settings of the whole process, made by commands that compute and never by the library."""

from __future__ import annotations

from recon.encoders.base import resolve_device
from recon.encoders.runtime.malloc import keep_freed_memory


def prepare() -> None:
    """Keep freed memory where encoders run on the CPU."""
    if resolve_device("auto").type == "cpu":
        keep_freed_memory()
