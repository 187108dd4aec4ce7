"""Benchmarks hand in their rows, and the table of BENCHMARKS.md is rewritten at once: an interrupted run keeps them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pages
from sizes import SIZES, say

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "BENCHMARKS.md"
QUICK_PAGE = ROOT / "runs" / "benchmarks" / "quick.md"
"""A quick run leaves BENCHMARKS.md alone."""


def report(name: str, rows: Sequence[pages.Row]) -> None:
    """Write the rows of a table, and the machine that they were measured on."""
    target = QUICK_PAGE if SIZES.quick else PAGE
    pages.update(target, target if target.exists() else PAGE, {name: rows}, _command())
    say(f"{name}: written to {target.relative_to(ROOT)}")


def _command() -> str:
    first, _, changes = os.environ.get("RECON_BENCH", "quick").strip().partition(" ")
    return "make bench" + (" QUICK=1" if first == "quick" else "") + (f" SIZES='{changes}'" if changes else "")
