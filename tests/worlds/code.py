"""A copy of this project's code that a test may edit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import recon

PACKAGE = Path(recon.__file__).parent


def copied(target: Path) -> Path:
    """Copy the code with links followed, as a wheel installs it, without weights; return the package's folder."""
    ignored = shutil.ignore_patterns("weights", "__pycache__")
    return Path(shutil.copytree(PACKAGE, target / "recon", ignore=ignored))


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file."""
    text = file.read_text("utf-8")
    assert old in text, f"{file}: expected {old!r}"
    file.write_text(text.replace(old, new), "utf-8")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))  # Python's bytecode is of whole seconds
