"""`recon benchmark CONFIG`: run a benchmark, print its table, write its page."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place


def add_parser(commands: Commands) -> None:
    """Add `reconstruct` and `benchmark` to the commands; both do the same."""
    for name, about in (("reconstruct", "same as benchmark"), ("benchmark", "run the methods of a YAML file")):
        parser = commands.add_parser(name, help=about, description=about)
        add_configuration(parser, benchmark, planned.benchmark)
        add_place(parser)


def benchmark(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the table and the paths of the results."""
    from recon.config import load
    from recon.report.page import is_current, write_report
    from recon.study.benchmark import benchmark as run_benchmark
    from recon.study.executors.places import place_of

    tree = load(options.config, options.overrides)
    run = run_benchmark(tree, say=write, progress=True, on=place_of(options.on, str(tree.get("device", "auto"))))
    page = run / "report.html" if is_current(run) else write_report(run)
    for line in table(run / "results.csv"):
        write(line)
    write(f"page: {page}")
    write(f"TensorBoard: tensorboard --logdir {run / 'tensorboard'}")


def table(results: Path) -> list[str]:
    """Return the lines of a table: per method, the mean over clips ± half the width of its 95 % interval.

    Runs with poolings show pooled frame r instead of the other scores; the page shows all columns.
    """
    from recon.report.tables import also_seen, costs, headings, over_seeds
    from recon.study.outputs import read_results

    rows = over_seeds(read_results(results))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scores, spent = headings(rows, "summary"), costs(rows, "summary")
    cells = [["method", "clips", *scores.values(), *spent.values(), "also saw"]]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        marks = " (oracle)" if own[0]["oracle"] == "True" else ""
        known = {name: [float(row[name]) for row in own if row[name]] for name in (*scores, *spent)}
        numbers = [*(_mean(known[name]) for name in scores), *(_cost(known[name]) for name in spent)]
        cells.append([method + marks, str(len(own)), *numbers, also_seen(own[0])])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _mean(values: Sequence[float]) -> str:
    import numpy as np

    from recon.metrics.statistics import bootstrap_interval

    if not values:
        return "–"
    mean = float(np.mean(values))
    low, high = bootstrap_interval(values, generator=np.random.default_rng(0))
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ± {(high - low) / 2:.3f}"


def _cost(values: Sequence[float]) -> str:
    if not values:
        return "–"
    mean = sum(values) / len(values)
    return f"{mean:.0f}" if mean >= 10 else f"{mean:.1f}"
