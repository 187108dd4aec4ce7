"""Reconstruct the movie an animal saw from the recorded activity of its visual cortex."""

from __future__ import annotations

from pathlib import Path

# A file, not a constant: setup.cfg reads the same one, and a release must not change the identity of the code.
__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()
