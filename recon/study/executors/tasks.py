"""The tasks of a benchmark as jobs: what a process builds once, and what it does for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from recon import config
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.store import Store
from recon.study.task import Task
from recon.types import Reconstruction


@dataclass(frozen=True)
class Tasks:
    """Every row of an expanded configuration on every batch of clips, in the order of the table."""

    bench: Bench
    tasks: tuple[Task, ...]

    @classmethod
    def of(cls, tree: Mapping[str, Any], *, progress: bool = False, threads: int = 0) -> Tasks:
        """Plan the tasks, to be done by so many `threads` (0: as it is).

        A wrong name or type anywhere in the configuration is an InputError.
        """
        if threads:
            torch.set_num_threads(threads)
        settings = config.record(Settings, tree, where="benchmark")
        bench = Bench(settings, plan(settings), progress)
        return cls(bench, tuple(Task(bench, row, batch) for row in bench.plans for batch in bench.batches))

    def title(self, number: int) -> str:
        """Return what a task is called: its place and its label."""
        return f"[{number + 1}/{len(self.tasks)}] {self.tasks[number].label}"

    def __call__(self, number: int) -> str:
        """Do a task and publish its result; return a line about it."""
        store = Store(self.bench.settings.run)
        title = f"[{number + 1}/{len(self.tasks)}]"
        return f"{self.title(number)}: {_describe(self.tasks[number].run(store, title=title))}"


def _describe(result: Reconstruction) -> str:
    effort = f"{result.iterations} iterations, {result.evaluations:.0f} evaluations, {result.seconds:.1f} s"
    return f"{result.status}, {effort}" + (f" ({result.message})" if result.message else "")
