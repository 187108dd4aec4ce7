"""`recon benchmark CONFIG`: run a benchmark, print its table, write its page."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from recon.config import load
from recon.metrics.statistics import bootstrap_interval
from recon.report.page import write_report
from recon.report.tables import over_seeds
from recon.study.benchmark import benchmark as run_benchmark
from recon.study.executors.places import place_of

COSTS = {"evaluations": "evaluations", "seconds": "seconds"}
SHOWN = {
    "video_correlation": "video r",
    "ssim": "SSIM",
    "frame_correlation": "frame r",
    "judge_correlation": "judge r",
} | COSTS
"""Columns of the printed table; runs with poolings print pooled frame r instead. The page shows all columns."""
Write = Callable[[str], None]


def benchmark(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the table and the paths of the results."""
    tree = load(options.config, options.overrides)
    run = run_benchmark(tree, say=write, progress=True, on=place_of(options.on, str(tree.get("device", "auto"))))
    page, results = run / "report.html", run / "results.csv"
    if not page.exists() or page.stat().st_mtime < results.stat().st_mtime:
        page = write_report(run)
    for line in table(results):
        write(line)
    write(f"page: {page}")
    write(f"TensorBoard: tensorboard --logdir {run / 'tensorboard'}")


def table(results: Path) -> list[str]:
    """Return the lines of a table: per method, the mean over clips ± half the width of its 95 % interval."""
    with results.open(newline="", encoding="utf-8") as stream:
        rows = over_seeds(list(csv.DictReader(stream)))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    pooled = {key: f"frame r {key[18:]}" for key in rows[0] if key.startswith("frame_correlation_")}
    shown = pooled | COSTS if pooled else SHOWN
    cells = [["method", "clips", *shown.values()]]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        marks = " (oracle)" if own[0]["oracle"] == "True" else ""
        numbers = [_cell(name, [float(row[name]) for row in own if row[name]]) for name in shown]
        cells.append([method + marks, str(len(own)), *numbers])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(name: str, values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = float(np.mean(values))
    if name in COSTS:
        return f"{mean:.0f}" if mean >= 10 else f"{mean:.1f}"
    low, high = bootstrap_interval(values, generator=np.random.default_rng(0))
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ± {(high - low) / 2:.3f}"
