"""Reconstructions in memory: the tasks of a configuration computed one after another, without a run on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import config
from recon.encoders.runtime.precision import products
from recon.run.runner import Budget
from recon.run.watch import Bar, Both, TaskFolders
from recon.study.executors.tasks import Tasks
from recon.methods.base import planned_iterates
from recon.study.publish import event_folder, scored, watch
from recon.study.task import Solved, Task
from recon.types import Reconstruction, Trace


@dataclass(frozen=True)
class Computed:
    """A task with its reconstruction and its rows of the table, one per clip of the batch."""

    task: Task
    result: Reconstruction
    rows: tuple[Mapping[str, Any], ...]


def computed(
    tree: Mapping[str, Any],
    *,
    trace: Trace | Path | None = None,
    budget: Budget | None = None,
    progress: bool = False,
) -> Iterator[Computed]:
    """Yield the tasks of a benchmark's configuration as they are computed; nothing is kept but learnt artefacts.

    The configuration is that of `benchmark`, whose numbers these are, bit for bit; `run` may be left out. Everything
    is checked when the iterator is asked for its first task. `trace`: an observer of every iterate, or a folder for
    TensorBoard's events, with a folder below it for each task.
    """
    known = Tasks.of(config.expand({"run": "in memory", **tree}), progress=progress)
    for batch in known.bench.batches:
        known.bench.scorer(batch)  # refuses frames and pixels that leave nothing to score
    for task in known.tasks:
        with products(known.bench.settings.precision):
            solved = _solved(task, trace, budget)
            rows = tuple(scored(task, solved))
        yield Computed(task, solved.result, rows)


def _solved(task: Task, trace: Trace | Path | None, budget: Budget | None) -> Solved:
    if not isinstance(trace, Path):
        with Bar(task.label, planned_iterates(task.plan.method), task.bench.progress) as bar:
            return task.solve(trace=bar if trace is None else Both(bar, trace), budget=budget)
    with tempfile.TemporaryDirectory(prefix="recon-") as aside:
        places = TaskFolders(Path(aside), trace / event_folder(task))
        with watch(task, places, title=task.label) as watched:
            return task.solve(trace=watched, budget=budget)
