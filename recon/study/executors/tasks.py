"""The tasks of a benchmark as jobs of a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from recon import config
from recon.encoders.runtime.malloc import keep_freed_memory
from recon.encoders.runtime.precision import products
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.store import Store
from recon.study.task import Task
from recon.study.validation import Check, validated
from recon.types import Reconstruction


@dataclass(frozen=True)
class Tasks:
    """Every row of an expanded configuration on every batch of clips, in the order of the table."""

    bench: Bench
    tasks: tuple[Task, ...]

    @classmethod
    def of(
        cls,
        tree: Mapping[str, Any],
        *,
        progress: bool = False,
        settled: Callable[[Settings], None] = lambda settings: None,
        checks: Sequence[Check] = (),
    ) -> Tasks:
        """Plan the tasks; one InputError lists all that cannot run, before anything is computed (see `validated`)."""
        return cls.on(validated(tree, progress=progress, settled=settled, checks=checks))

    @classmethod
    def on(cls, bench: Bench) -> Tasks:
        """Return the tasks of a bench."""
        return cls(bench, tuple(Task(bench, row, batch) for row in bench.plans for batch in bench.batches))

    def title(self, number: int) -> str:
        """Return a task's place and label."""
        return f"[{number + 1}/{len(self.tasks)}] {self.tasks[number].label}"

    def __call__(self, number: int) -> str:
        """Do a task and publish its result; return a line about it."""
        store = Store(self.bench.settings.run)
        title = f"[{number + 1}/{len(self.tasks)}]"
        with products(self.bench.settings.precision):
            result = self.tasks[number].run(store, title=title)
        return f"{self.title(number)}: {_describe(result)}"


def in_worker(tree: Mapping[str, Any], *, threads: int) -> Tasks:
    """Plan the tasks in a process that does nothing else, with `threads` threads, and keep its freed memory."""
    torch.set_num_threads(threads)
    settings = config.record(Settings, tree, where="benchmark")
    known = Tasks.on(Bench(settings, plan(settings)))  # validated by the process that started this one
    if known.bench.device.type == "cpu":
        keep_freed_memory()
    return known


def _describe(result: Reconstruction) -> str:
    effort = f"{result.iterations} iterations, {result.evaluations:.0f} evaluations, {result.seconds:.1f} s"
    return f"{result.status}, {effort}" + (f" ({result.message})" if result.message else "")
