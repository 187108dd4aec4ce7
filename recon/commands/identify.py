"""`recon identify CONFIG`: which stimulus was shown, which response belongs to a stimulus."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from recon.config import load
from recon.identification.captions import identify_captions
from recon.identification.neural import identify_segments
from recon.identification.static import identify_static
from recon.identification.stimuli import identify as run_identify

SHOWN = {
    "approach": "approach",
    "group": "units of",
    "task": "task",
    "images": "images",
    "trained_on": "trained on",
    "seconds": "seconds",
    "candidates": "candidates",
    "top1": "top-1",
    "chance_top1": "chance",
    "top5": "top-5",
    "median_rank": "median rank",
    "note": "note",
}
"""Columns of the printed table, where a run has them."""


def identify(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Run what is not finished, then print the table; `areas` mean no stimuli, `captions` words, `towers` static
    images."""
    tree = load(options.config, options.overrides)
    if "areas" in tree:
        results = identify_segments(tree, say=write)
    elif "captions" in tree:
        results = identify_captions(tree, say=write, progress=True)
    elif "towers" in tree:
        results = identify_static(tree, say=write)
    else:
        results = run_identify(tree, say=write, progress=True)
    for line in table(results):
        write(line)
    write(f"all: {results}")


def table(results: Path) -> list[str]:
    """Return the lines of a table of an identification.csv."""
    with results.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    shown = {key: title for key, title in SHOWN.items() if key in rows[0]}
    cells = [list(shown.values()), *([_cell(row, key) for key in shown] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(row: dict[str, str], key: str) -> str:
    if key == "top1":
        return f"{float(row[key]):.3f} [{float(row['top1_low'] or 'nan'):.3f}, {float(row['top1_high'] or 'nan'):.3f}]"
    if key in ("chance_top1", "top5"):
        return f"{float(row[key]):.3f}"
    return f"{float(row[key]):.1f}" if key == "median_rank" else row[key]
