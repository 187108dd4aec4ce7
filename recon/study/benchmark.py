"""The benchmark: every row of a table on every batch of clips, each an immutable task; results.csv is derived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from recon import config
from recon.encoders.runtime.precision import products
from recon.files import write_table
from recon.files.locks import one_writer
from recon.study.executors.jobs import JobOutcome, in_turn
from recon.study.executors.local import Crew
from recon.study.executors.places import HERE, Place, cards_of
from recon.study.executors.ray import RayCrew
from recon.study.executors.tasks import Tasks, in_worker
from recon.study.fisher_information import write_information
from recon.study.folders import check_run
from recon.study.manifest import RUN, seal, unseal
from recon.study.objects import check_portable
from recon.study.outputs import RESULTS, columns, write_inputs
from recon.study.store import Store
from recon.study.validation import Check

Say = Callable[[str], None]
SHARE_SPENT_WORKING = 20
"""Seconds of work per second of writing the table."""


def benchmark(
    tree: Mapping[str, Any],
    *,
    say: Say = lambda line: None,
    progress: bool = False,
    on: Place = HERE,
    checks: Sequence[Check] = (),
) -> Path:
    """Compute every unfinished task of a benchmark's configuration; return the run's folder.

    What cannot run is refused before anything is computed, in one InputError that lists all problems; `checks` yield
    further ones.

    Finished tasks are recognised by their key (data, settings, seed, code) and kept; unfinished ones resume at their
    checkpoint, so that the same call after an interruption gives the same numbers. A task whose artefacts were deleted
    is computed again. `say` receives one line per task. `on`: where tasks run, one after another in this process, or
    in parallel. A failed task becomes a row with its status, and the others continue. The configuration may hold Python
    objects in place of settings: those that no key can name are computed anew each time, and `say` is told.
    """
    tree = config.expand(tree)
    known = Tasks.of(tree, progress=progress, settled=check_run, checks=checks)
    with products(known.bench.settings.precision):
        return _run(known, tree, say, on)


def _run(known: Tasks, tree: Mapping[str, Any], say: Say, on: Place) -> Path:
    bench, settings = known.bench, known.bench.settings
    device = ", ".join(map(str, bench.devices or [bench.device]))  # unknown names are refused before any task runs
    if on != HERE:
        check_portable(tree, known.unnamed)
    results = Results(known)
    for batch in bench.batches:
        bench.scorer(batch)  # refuses frames and pixels that leave nothing to score before anything is written
    with one_writer(settings.run, RUN):
        results.store.select(results.keys)
        for line in (*results.set_aside(), *known.unnamed):
            say(line)
        write_inputs(settings, tree, sets=bench.sets, batches=bench.batches, device=device)
        current = [results.store.current(key, settings.artefacts) for key in results.keys]
        for number in (number for number, done in enumerate(current) if done):
            say(f"{known.title(number)}: done already")
        left = [number for number, done in enumerate(current) if not done]
        if any(current):
            results.write(at_once=True)  # drop rows of an interrupted run that are no longer in the configuration
        if left:
            unseal(settings.run, RESULTS, of=RUN)
        try:
            for outcome in _outcomes(known, left, tree, on):
                say(outcome.line or results.failed(outcome))
                results.write(at_once=False)
        finally:
            results.write(at_once=True)
            seal(settings.run, [RESULTS], of=RUN)
        if settings.information:
            write_information(bench)
    return settings.run


@dataclass
class Results:
    """The growing table of a run: rows of finished tasks and of those given up."""

    known: Tasks
    given_up: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    next_write: float = 0.0

    def __post_init__(self) -> None:
        self.keys = [task.key for task in self.known.tasks]
        self.store = Store(self.known.bench.settings.run)

    def set_aside(self) -> Iterator[str]:
        """Set aside damaged tasks, to be computed again; yield one line about each."""
        for number, key in enumerate(self.keys):
            if harm := self.store.harm(key):
                place = self.store.set_aside(key)
                yield f"{self.known.title(number)}: tasks/{key}: {harm}; moved to {place}, computed again"

    def failed(self, outcome: JobOutcome) -> str:
        """Record the rows of a task given up; return a line about it."""
        tried = f" after {outcome.attempts} attempts" if outcome.attempts > 1 else ""
        message = f"given up{tried}: {outcome.error}"
        self.given_up[self.keys[outcome.job]] = self.known.tasks[outcome.job].failed_rows(message)
        return f"{self.known.title(outcome.job)}: failed, {message}"

    def write(self, *, at_once: bool) -> None:
        """Write results.csv, at most once per interval unless `at_once`."""
        began = time.monotonic()
        if not at_once and began < self.next_write:
            return
        settings = self.known.bench.settings
        rows = (row for key in self.keys for row in self.given_up.get(key) or self.store.rows([key]))
        write_table(settings.run / RESULTS, rows, columns(settings))
        self.next_write = time.monotonic() + SHARE_SPENT_WORKING * (time.monotonic() - began)


def _crew(known: Tasks, tree: Mapping[str, Any], on: Place, tasks: int) -> Crew | RayCrew:
    if on.ray is not None:
        share = known.bench.settings.cluster
        return RayCrew(partial(in_worker, tree, threads=max(int(share.cpus), 1)), share, on.ray)
    size = min(on.processes, tasks)
    make = partial(in_worker, tree, threads=max(torch.get_num_threads() // size, 1))
    return Crew(make, size, cards_of(known.bench.device))


def _outcomes(known: Tasks, left: Sequence[int], tree: Mapping[str, Any], on: Place) -> Iterator[JobOutcome]:
    """Yield outcomes of tasks as they finish; in parallel the longest tasks start first."""
    if on == HERE or not left:
        yield from in_turn(known, left)
        return
    disable = None if known.bench.progress else True
    crew = _crew(known, tree, on, len(left))
    with tqdm(total=len(left), desc="tasks", unit="task", leave=False, disable=disable) as bar:
        for outcome in crew.run(sorted(left, key=lambda number: -known.tasks[number].effort)):
            bar.update()
            yield outcome
