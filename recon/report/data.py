"""Reading of a run directory: the numbers and pictures of its page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.correlation import pearson
from recon.data.hdf5 import Hdf5, open_hdf5
from recon.errors import InputError
from recon.media import Pixels, to_uint8
from recon.metrics import COSTS, Metric, ranked
from recon.report.movies import Clip, clips_that_fit
from recon.report.traces import curves_of, finite_numbers, rounded, trace_of
from recon.run.trace import read_trace
from recon.study.seen import seen_in
from recon.study.settings import masked_column, oracle_column
from recon.study.store import read_task

WIDEST = 0.5
"""Half-width of the whole range: nothing is known of a pixel."""
Row = Mapping[str, Any]
Interval = Callable[[Sequence[float]], tuple[float, float]]
"""Values over clips → bounds of the 95 % interval of their mean."""


@dataclass(frozen=True)
class Column:
    """A column of the table: key in `row.json`, heading, meaning and format."""

    key: str
    title: str
    meaning: str
    digits: int = 3
    higher: bool = True
    true_key: str = ""
    cost: bool = False


def column_of(metric: Metric) -> Column:
    """Return the column of a score."""
    true_key = next(iter(metric.columns[1:]), "")
    return Column(metric.name, metric.title, metric.meaning, metric.digits, metric.higher, true_key=true_key)


def optional_columns() -> Iterator[Column]:
    """Yield the columns of some runs only: scores with luminance and contrast matched, and with grey outside a mask."""
    for metric in ranked():
        column = column_of(metric)
        if metric.matched:
            meaning = f"{column.title} with luminance and contrast matched to the truth"
            title = f"{column.title} matched (oracle)"
            yield replace(column, key=oracle_column(metric.name), title=title, meaning=meaning)
        if metric.needs == "responses":
            meaning, title = (
                f"{column.title} of the reconstruction with grey outside the mask",
                f"{column.title}, masked",
            )
            masked = replace(column, key=masked_column(column.key), true_key=masked_column(column.true_key))
            yield replace(masked, title=f"{column.title}, masked", meaning=meaning)


def columns_of(keys: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns of all scores and costs, plus the optional ones of a run: pooled, oracle and masked scores.

    >>> [column.title for column in columns_of(["frame_correlation_9x9"])][2:4]
    ['Frame r', 'Frame r 9x9']
    """
    start = "frame_correlation_"
    keys = list(dict.fromkeys(keys))
    names = [key.removeprefix(start) for key in keys if key.startswith(start)]
    about = "Spatial correlation after averaging over blocks of pixels (and frames)"
    pooled = [Column(start + name, f"Frame r {name}", about) for name in names]
    extra = [column for column in optional_columns() if column.key in keys]
    scores = [column_of(metric) for metric in ranked()]
    place = next(number for number, column in enumerate(scores, 1) if column.key == "frame_correlation")
    costs = (Column(cost.name, cost.title, cost.meaning, cost.digits, False, cost=True) for cost in COSTS.values())
    return (*scores[:place], *pooled, *extra, *scores[place:], *costs)


@dataclass(frozen=True)
class FinishedTask:
    """One task's directory and its rows, one per trial."""

    folder: Path
    rows: tuple[Row, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """Recording, method, encoder and condition: identifies a row of the table."""
        return tuple(str(self.rows[0].get(name, "")) for name in ("recording", "method", "encoder", "condition"))

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.rows[0].get("seed") or 0)


def read_tasks(run: Path) -> list[FinishedTask]:
    """Return the finished tasks of a run, sorted by key and seed; raises InputError that names a damaged file."""
    tasks = []
    for folder in sorted(run.glob("tasks/[!.]*")):  # unfinished tasks are hidden
        rows = tuple(read_task(folder))
        tasks += [FinishedTask(folder, rows)] if rows else []
    if not tasks:
        raise InputError(f"run directory {run}: expected finished tasks in tasks/*/row.json, got none; run it first")
    return sorted(tasks, key=lambda task: (task.key, task.seed))


def standings(tasks: Sequence[FinishedTask]) -> dict[str, str]:
    """Return the trials of the best, median and worst clip by mean video correlation over all results."""
    by_trial: dict[str, list[float]] = {}
    for row in (row for task in tasks for row in task.rows if group_of(str(row.get("condition", ""))) == "results"):
        by_trial.setdefault(str(row["trial"]), []).extend(finite_numbers([row.get("video_correlation")]))
    order = sorted((trial for trial in by_trial if by_trial[trial]), key=lambda trial: -float(np.mean(by_trial[trial])))
    if len(order) < 3:
        return {}
    return {order[0]: "best", order[len(order) // 2]: "median", order[-1]: "worst"}


def read_clips(
    run: Path, *, max_clips: int, max_frames: int, movies: int, first: Mapping[str, str] | None = None
) -> tuple[list[Clip], dict[str, Pixels]]:
    """Return the page's data of up to `max_clips` clips, those of `first` leading, and their true movies `[T,H,W]`."""
    path = run / "clips.h5"
    if not path.exists():
        raise InputError(f"run directory {run}: expected clips.h5 with the true movies, got none; run it first")
    with open_hdf5(path) as file:
        known, there = dict(first or {}), file.children("*")
        if not there:
            raise InputError(f"{path}: expected clips, got none; run it again")
        trials = sorted(there, key=lambda name: list(known).index(name) if name in known else len(known))
        pixels = file.values(f"{trials[0]}/truth", axes=3)[:max_frames].size
        named, light = sum(name in there for name in known), clips_that_fit(pixels * movies)
        # Limits the size of a page with `movies` movies per clip, but keeps the clips of `first`.
        fitting = max(1, min(max_clips, max(named, light)))
        truths = {trial: file.values(f"{trial}/truth", axes=3)[:max_frames] for trial in trials[:fitting]}
        clips = [_clip(file, *each) | {"standing": known.get(each[0], "")} for each in truths.items()]
    return clips, truths


def _clip(file: Hdf5, trial: str, truth: Pixels) -> Clip:
    attributes, total, frames = file.attributes(trial), file.samples(f"{trial}/truth"), len(truth)
    return {
        "trial": trial,
        "caption": str(attributes.get("caption", "")),
        "video_id": str(attributes.get("video_id", "")),
        "frame_rate": file.number(trial, key="frame_rate", default=30.0),
        "warmup": min(int(file.number(trial, key="warmup", default=0)), frames),
        "tail": max(0, int(file.number(trial, key="tail", default=0)) - (total - frames)),
        "total": total,
    } | dict(zip(("frames", "height", "width"), truth.shape, strict=True))


NULLS = ("wrong", "null", "shuffle", "grey", "spontaneous", "shifted", "permuted")
"""Words of conditions whose activity says nothing about the clip."""


def group_of(condition: str, *, oracle: bool = False) -> str:
    """Return the group of a row in the table: results, (upper) references or nulls.

    >>> group_of("recorded"), group_of("predicted"), group_of("wrong_clip")
    ('results', 'references', 'nulls')
    >>> group_of("contrast 0.2"), group_of("time-shifted")
    ('results', 'nulls')
    """
    if any(word in condition for word in NULLS):
        return "nulls"
    return "references" if oracle or condition == "predicted" else "results"


def read_methods(
    tasks: Sequence[FinishedTask], truths: Mapping[str, Pixels], *, interval: Interval
) -> list[dict[str, Any]]:
    """Return one entry per row of the table: results, then upper references, then nulls, each best first."""
    keys = list(dict.fromkeys(task.key for task in tasks))
    entries = [_method([task for task in tasks if task.key == key], truths, interval) for key in keys]
    order = {"results": 0, "references": 1, "nulls": 2}

    def rank(entry: dict[str, Any]) -> tuple[int, float]:
        mean = entry["scores"].get("video_correlation", {}).get("mean")
        return order[entry["group"]], math.inf if mean is None else -mean

    return sorted(entries, key=rank)


def _method(tasks: Sequence[FinishedTask], truths: Mapping[str, Pixels], interval: Interval) -> dict[str, Any]:
    recording, method, encoder, condition = tasks[0].key
    rows = [row for task in tasks for row in task.rows]
    folders = [task.folder for task in tasks if task.seed == tasks[0].seed]  # batches of clips; pictures of one seed
    movies = {trial: movie for folder in folders for trial, movie in _movies(folder / "movie.h5", truths).items()}
    widths = {trial: width for folder in folders for trial, width in half_widths(folder / "movie.h5", truths).items()}
    oracle = any(_is_true(row.get("oracle")) for row in rows)
    return {
        "recording": recording,
        "label": method,
        "encoder": encoder,
        "condition": condition,
        "fidelity": str(rows[0].get("fidelity") or ""),
        "group": group_of(condition, oracle=oracle),
        "oracle": oracle,
        "behavior": _common([row.get("behavior") for row in rows]),
        "clips": len({row["trial"] for row in rows}),
        "seen": seen_in(folders[0]),
        "seeds": len({row.get("seed") for row in rows}),
        "failures": sorted({_failure(row) for row in rows} - {""}),
        "scores": {column.key: score for column in columns_of(rows[0]) if (score := _score(rows, column, interval))},
        "movies": movies,
        "widths": {trial: width for trial, width in widths.items() if trial in movies},
        "frame_correlation": {trial: _frame_correlation(movie, truths[trial]) for trial, movie in movies.items()},
        "trace": trace_of([read_trace(folder / "trace.jsonl") for folder in folders]),
        "curves": curves_of([folder / "curves.json" for folder in folders]),
    }


def _score(rows: Sequence[Row], column: Column, interval: Interval) -> dict[str, Any] | None:
    """Return mean and interval over clips of the means over seeds; None if no clip has a value."""
    by_trial: dict[str, list[float]] = {}
    for row in rows:
        by_trial.setdefault(str(row["trial"]), []).extend(finite_numbers([row.get(column.key)]))
    values = {trial: float(np.mean(seeds)) for trial, seeds in by_trial.items() if seeds}
    if not values:
        return None
    low, high = interval(list(values.values())) if len(values) > 1 else (math.nan, math.nan)
    truth = finite_numbers(row.get(column.true_key) for row in rows) if column.true_key else []
    return {
        "mean": float(np.mean(list(values.values()))),
        "interval": [low, high] if math.isfinite(low) and math.isfinite(high) else None,
        "values": values,
        "true": float(np.mean(truth)) if truth else None,
    }


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1")


def _common(values: Sequence[Any]) -> bool | None:
    known = {_is_true(value) for value in values if value is not None}
    return known.pop() if len(known) == 1 else None


def _failure(row: Row) -> str:
    status = str(row.get("status", ""))
    return f"trial {row['trial']}: {status}. {row.get('message', '')}" if status in ("diverged", "failed") else ""


def _movies(path: Path, truths: Mapping[str, Pixels]) -> dict[str, Pixels]:
    if not path.exists():
        return {}
    with open_hdf5(path) as file:
        there = [trial for trial in truths if file.find(trial) is not None]
        stored = {trial: file.values(f"{trial}/reconstruction", axes=3) for trial in there}
        shown = {trial: stored[trial][: len(truths[trial])] for trial in there}
    movies = {trial: to_uint8(movie) for trial, movie in shown.items()}
    return {trial: movie for trial, movie in movies.items() if movie.shape == truths[trial].shape}


def half_widths(path: Path, truths: Mapping[str, Pixels]) -> dict[str, Pixels]:
    """Return the half-widths `[T,H,W]` of calibrated intervals, 255 for `WIDEST`; none where a task has none."""
    if not path.exists():
        return {}
    with open_hdf5(path) as file:
        there = [trial for trial in truths if file.find(f"{trial}/upper") is not None]
        bounds = {
            trial: [file.values(f"{trial}/{side}", axes=3)[: len(truths[trial])] for side in ("lower", "upper")]
            for trial in there
        }
    widths = {trial: (upper.astype(np.float32) - lower) / 2 for trial, (lower, upper) in bounds.items()}
    return {trial: to_uint8(np.clip(width / WIDEST, 0, 1)) for trial, width in widths.items()}


def _frame_correlation(movie: Pixels, truth: Pixels) -> list[float | None]:
    frames, true = (torch.from_numpy(pixels.reshape(len(pixels), -1)) for pixels in (movie, truth))
    return rounded(pearson(frames, true).tolist())
