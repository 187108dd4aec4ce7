"""Settings of the whole process, made by commands that compute and never by the library."""

from __future__ import annotations

from recon.data.content import distrust
from recon.encoders.base import resolve_device
from recon.encoders.runtime.malloc import keep_freed_memory


def prepare(*, verify: bool = False) -> None:
    """Keep freed memory where encoders run on the CPU; with `verify`, distrust the remembered hashes of files."""
    if verify:
        distrust()
    if resolve_device("auto").type == "cpu":
        keep_freed_memory()
