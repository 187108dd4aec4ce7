"""Markdown tables of results: means with bootstrap intervals, and paired differences to a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recon.errors import InputError
from recon.metrics import COSTS, METRICS, primary, ranked
from recon.metrics.metric import Shown, heading
from recon.metrics.statistics import bootstrap_interval, nested_mean, paired_difference
from recon.study.outputs import read_results

Rows = Sequence[Mapping[str, str]]

POOLED = "frame_correlation_"


def headings(rows: Rows, *places: Shown) -> dict[str, str]:
    """Return the headings of the scores shown in places, by column; pooled scores, if any, replace all others."""
    pooled = {key: f"frame r {key.removeprefix(POOLED)}" for key in rows[0] if key.startswith(POOLED)}
    shown = {metric.name: heading(metric.title) for metric in ranked() if metric.shown in places}
    return pooled or {key: title for key, title in shown.items() if key in rows[0]}


def costs(rows: Rows, *places: Shown) -> dict[str, str]:
    """Return the headings of the costs shown in places that some row has, by column."""
    shown = {cost.name: heading(cost.title) for cost in COSTS.values() if cost.shown in places}
    return {key: title for key, title in shown.items() if any(row.get(key) for row in rows)}


def markdown(*results: Path, baseline: str = "ridge") -> str:
    """Return the Markdown table of one or several results.csv, with paired differences to `baseline` over clips.

    Pooled scores, if any, replace the other scores. With several recordings the table shows the methods common to all
    of them: means over recordings, and intervals with clips nested in recordings.
    """
    rows: Rows = [row for path in results for row in _read(path)]
    scores = headings(rows, "summary", "tables")
    rows = over_seeds(rows)
    methods = {row["method"]: [other for other in rows if other["method"] == row["method"]] for row in rows}
    recordings = {_clip(row)[0] for row in rows}
    methods = {name: own for name, own in methods.items() if {_clip(row)[0] for row in own} == recordings}
    if not methods:
        raise InputError(f"report: expected a method that all of {sorted(recordings)} have, got none; name other runs")
    against = methods.get(baseline, [])
    differences = [key for key in scores if against and (key in primary() or key.startswith(POOLED))]
    spent = costs(rows, "summary", "tables")
    head = ["method", *scores.values(), *(f"Δ {scores[key]} to {baseline}" for key in differences), *spent.values()]
    seen = {name: also_seen(own[0]) for name, own in methods.items()}
    head += ["also saw"] * any(seen.values())
    lines = [head, ["---"] * len(head)]
    for name, own in methods.items():
        cells = [_mean(own, key) for key in scores] + [_difference(own, against, key) for key in differences]
        cells += [_cost(own, key) for key in spent] + [seen[name]] * any(seen.values())
        lines.append([name + _mark(own), *cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def also_seen(row: Mapping[str, str]) -> str:
    """Return what a method saw beside responses of its animal and training movies; results of old versions lack some.

    >>> also_seen({"behavior": "True", "text": "decoded", "animals": "second", "pretrained": ""})
    'behavior, text (decoded), other animals (second)'
    """
    kinds = {"text": "text", "animals": "other animals", "pretrained": "pretrained"}
    told = [f"{kind} ({row[column]})" for column, kind in kinds.items() if row.get(column)]
    return ", ".join((["behavior"] if row.get("behavior") == "True" else []) + told)


def over_seeds(rows: Rows) -> list[dict[str, str]]:
    """Return one row per method and trial, averaged over seeds, so that clips remain the statistical units."""
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["method"], *_clip(row)), []).append(row)
    return [
        dict(own[0]) | {key: _averaged([row[key] for row in own]) for key in _numbers(own)} for own in groups.values()
    ]


def _read(results: Path) -> Rows:
    rows = read_results(results)
    if not rows:
        raise InputError(f"{results}: expected at least one row, got none; run the benchmark first")
    return rows


def _clip(row: Mapping[str, str]) -> tuple[str, str]:
    return row.get("recording", ""), row["trial"]


def _numbers(rows: Rows) -> list[str]:
    """Return the columns that are averaged over seeds."""
    names = {*METRICS, *COSTS}
    return [key for key in rows[0] if (key in names or key.startswith(POOLED)) and len(rows) > 1]


def _averaged(values: Sequence[str]) -> str:
    known = [float(value) for value in values if value]
    return repr(float(np.mean(known))) if known else ""


def _cost(rows: Rows, key: str) -> str:
    value = float(np.mean([float(row.get(key) or "nan") for row in rows]))
    if np.isnan(value):
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _mark(rows: Rows) -> str:
    return " (oracle)" if rows[0]["oracle"] == "True" else ""


def _mean(rows: Rows, key: str) -> str:
    known = [row for row in rows if row[key]]
    if not known:
        return "–"
    values, nests = [float(row[key]) for row in known], [_clip(row)[0] for row in known]
    low, high = bootstrap_interval(values, generator=np.random.default_rng(0), nests=nests)
    digits = METRICS[key].digits if key in METRICS else 3
    return f"{nested_mean(values, nests):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _difference(rows: Rows, against: Rows, key: str) -> str:
    pairs = [(row, other) for row in rows for other in against if _clip(row) == _clip(other)]
    first, second = ([float(row[key] or "nan") for row in side] for side in zip(*pairs, strict=True))
    if rows[0]["method"] == against[0]["method"] or np.isnan([first, second]).any():
        return ""
    nests = [_clip(row)[0] for row, _ in pairs]
    found = paired_difference(first, second, generator=np.random.default_rng(0), nests=nests)
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
