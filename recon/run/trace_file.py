"""The file of a trace: one JSON line per logged step."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def drop_lines(path: Path, step: int) -> None:
    """Remove the lines at and after a step, and those that a kill cut in two; the file is replaced in one step."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) < step]
    if len(kept) == len(lines):
        return
    aside = path.with_name(f".{path.name}.aside")
    aside.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    aside.replace(path)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def read_trace(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a trace, by step; a line that is just being written is left out."""
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return [json.loads(line) for line in lines if math.isfinite(_step_of(line))]
