"""The benchmark: every row of a table on every batch of clips, each an immutable task, and the derived table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recon import config
from recon.bench import Bench, plan
from recon.information import write_information
from recon.outputs import columns, write_inputs
from recon.settings import Settings
from recon.store import Store, one_writer, write_table
from recon.tasks import Task
from recon.types import Reconstruction

Say = Callable[[str], None]


def benchmark(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Run every row of a benchmark's configuration that is not finished, and return the run's folder.

    Finished tasks are found again by the hash of what went into them, unfinished ones go on at their checkpoint, so
    that the same call after an interruption ends with the same numbers. A task whose artefacts were deleted is done
    again, and no other. `say` gets a line per task.
    """
    tree = config.expand(tree)
    settings = config.record(Settings, tree, where="benchmark")
    bench = Bench(settings, plan(settings), progress)
    store = Store(settings.run)
    tasks = [Task(bench, row, batch) for row in bench.plans for batch in bench.batches]
    keys = [task.key for task in tasks]
    for batch in bench.batches:
        bench.scorer(batch)  # refuses frames and pixels that leave nothing to score, before anything is written
    with one_writer(settings.run):
        store.select(keys)
        write_inputs(settings, tree, sets=bench.sets, batches=bench.batches, device=str(bench.device))
        for number, task in enumerate(tasks, 1):
            title = f"[{number}/{len(tasks)}]"
            if store.current(task.key, settings.artefacts):
                say(f"{title} {task.label}: done already")
            else:
                say(f"{title} {task.label}: {_describe(task.run(store, title=title))}")
            write_table(settings.run / "results.csv", store.rows(keys), columns(settings))
        if settings.information:
            write_information(bench)
    return settings.run


def _describe(result: Reconstruction) -> str:
    effort = f"{result.iterations} iterations, {result.evaluations:.0f} evaluations, {result.seconds:.1f} s"
    return f"{result.status}, {effort}" + (f" ({result.message})" if result.message else "")
