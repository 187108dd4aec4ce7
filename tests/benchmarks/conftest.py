"""Benchmarks hand in rows; at the end of a run the tables of BENCHMARKS.md are rewritten, those that were measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pages
import pytest
from sizes import SIZES, say

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "BENCHMARKS.md"


@pytest.fixture(scope="session")
def report() -> Iterator[Callable[[str, Sequence[pages.Row]], None]]:
    """Return the function that takes the rows of a table; a quick run leaves BENCHMARKS.md alone."""
    results: dict[str, Sequence[pages.Row]] = {}
    yield results.__setitem__
    target = ROOT / "runs" / "benchmarks" / "quick.md" if SIZES.quick else PAGE
    words = os.environ.get("RECON_BENCH", "quick").strip()
    first, _, changes = words.partition(" ")
    command = "make bench" + (" QUICK=1" if first == "quick" else "") + (f" SIZES='{changes}'" if changes else "")
    if results:
        pages.update(target, PAGE, results, command)
        say(f"written: {target.relative_to(ROOT)}")
