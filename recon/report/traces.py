"""Traces and frequency-resolved curves of a page: means over clips, subsampled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.files import read_json

TRACE_POINTS = 160
"""Maximum number of points of a curve on the page; more would not be visible."""


def finite_numbers(values: Iterable[Any]) -> list[float]:
    """Return the finite numbers among values.

    >>> finite_numbers([1, None, float("nan"), 2.5])
    [1.0, 2.5]
    """
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return [number for number in numbers if math.isfinite(number)]


def rounded(values: Iterable[Any]) -> list[float | None]:
    """Round numbers to four significant digits; None replaces numbers that are not finite.

    >>> rounded([0.123456, float("nan")])
    [0.1235, None]
    """
    return [float(f"{value:.4g}") if value is not None and math.isfinite(value) else None for value in values]


def trace_of(batches: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any] | None:
    """Return means over the clips of all batches at the steps logged by every batch; None without such steps."""
    by_step = [{line["step"]: line for line in lines} for lines in batches if lines]
    steps = sorted(set.intersection(*map(set, by_step))) if by_step else []
    if not steps:
        return None
    points = [[lines[steps[index]] for lines in by_step] for index in _log_spaced(len(steps))]
    trace: dict[str, Any] = {
        axis: rounded(mean_of([line.get(axis) for line in point]) for point in points)
        for axis in ("step", "evaluations", "seconds")
    }
    for group in ("terms", "metrics"):
        names = dict.fromkeys(name for point in points for line in point for name in line.get(group, {}))
        trace[group] = {name: rounded(_over_clips(point, group, name) for point in points) for name in names}
    return trace


def _over_clips(point: Sequence[Mapping[str, Any]], group: str, name: str) -> float | None:
    return mean_of([value for line in point for value in line.get(group, {}).get(name, [])])


def _log_spaced(count: int) -> list[int]:
    points = np.geomspace(1, count, min(count, TRACE_POINTS)).round().astype(int) - 1
    return sorted({0, *points.tolist(), count - 1}) if count > TRACE_POINTS else list(range(count))


def mean_of(values: Sequence[Any]) -> float | None:
    """Return the mean of the finite numbers among values; None if there are none."""
    finite = finite_numbers(values)
    return float(np.mean(finite)) if finite else None


def curves_of(paths: Sequence[Path]) -> dict[str, Any]:
    """Return each frequency-resolved curve, mean over the clips of all batches; missing files are skipped."""
    found = [read_json(path) for path in paths if path.exists()]
    return {name: _curve([curves[name] for curves in found if name in curves]) for name in (found[0] if found else ())}


def _curve(batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    axis = batches[0]["axis"]
    trials = [trial for curve in batches for trial in curve["correlation"].values() if curve["axis"] == axis]
    mean = [mean_of([trial[index] for trial in trials]) for index in range(len(axis))]
    return {"axis": axis, "correlation": rounded(mean)}
