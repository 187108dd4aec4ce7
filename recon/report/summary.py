"""Text of results for a terminal or a notebook: the table of a run, and the findings of an ablation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from recon.metrics.statistics import bootstrap_interval
from recon.report.tables import also_seen, costs, headings, over_seeds
from recon.study.ablation.numbers import Findings
from recon.study.outputs import read_results


def table(results: Path) -> list[str]:
    """Return the lines of a table: per method, the mean over clips ± half the width of its 95 % interval.

    Runs with poolings show pooled frame r instead of the other scores; the page shows all columns.
    """
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


def told(found: Findings) -> Iterator[str]:
    """Yield the lines that summarise the findings of an ablation for one score."""
    yield f"by {found.metric}:"
    yield f"  gain of the learnt prior over the Gaussian prior: {found.gain}"
    yield f"  survives without activity, as a fraction of the full method's gain over the mean frame: {found.survives}"
    yield f"  sensitivity to words, decoded minus shuffled captions: {found.sensitivity}"
    yield from (f"  control: {verdict}" for verdict in found.verdicts)
    yield from (f"  WARNING: {warning}" for warning in found.warnings)


def _mean(values: Sequence[float]) -> str:
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
