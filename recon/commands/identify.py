"""`recon identify CONFIG`: which stimulus was shown, which response belongs to a stimulus."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

from recon.config import load
from recon.identify import identify as run_identify

SHOWN = ("approach", "task", "seconds", "candidates", "top-1", "chance", "top-5", "median rank")


def identify(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Run what is not finished, then print the table."""
    results = run_identify(load(options.config, options.overrides), say=write, progress=True)
    for line in table(results):
        write(line)
    write(f"all: {results}")


def table(results: Path) -> list[str]:
    """Return the lines of a table of an identification.csv."""
    with results.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    cells = [list(SHOWN), *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: dict[str, str]) -> list[str]:
    number = {name: float(row[name] or "nan") for name in row if name not in ("recording", "tier", "approach", "task")}
    interval = f"{number['top1']:.3f} [{number['top1_low']:.3f}, {number['top1_high']:.3f}]"
    chance, ranked = f"{number['chance_top1']:.3f}", f"{number['median_rank']:.1f}"
    return [row["approach"], row["task"], row["seconds"], row["candidates"], interval, chance, row["top5"][:5], ranked]
