"""Text of results for a terminal or a notebook: the table of a run, and the findings of an ablation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from recon.metrics.statistics import bootstrap_interval
from recon.report.tables import Rows, also_seen, costs, headings, over_seeds
from recon.study.ablation.numbers import Findings


def cells(rows: Rows) -> list[list[str]]:
    """Return the cells of a table, its heading first: per method, means over clips ± half their 95 % interval.

    Runs with poolings show pooled frame r instead of the other scores; the page shows all columns.
    """
    rows = over_seeds(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scores, spent = headings(rows, "summary"), costs(rows, "summary")
    found = [["method", "clips", *scores.values(), *spent.values(), "also saw"]]
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        marks = " (oracle)" if own[0]["oracle"] == "True" else ""
        known = {name: [float(row[name]) for row in own if row[name]] for name in (*scores, *spent)}
        numbers = [*(_mean(known[name]) for name in scores), *(_cost(known[name]) for name in spent)]
        found.append([method + marks, str(len(own)), *numbers, also_seen(own[0])])
    return found


def table(rows: Rows) -> list[str]:
    """Return the lines of a table of means, in columns."""
    found = cells(rows)
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in found]


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
