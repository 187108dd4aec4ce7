"""Book-keeping of very many tasks: a millisecond for each at most, in memory that does not grow with them."""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from worlds.jobs import Nothing

from recon.files import digest, write_table
from recon.study.executors.local import Crew
from recon.study.outputs import COLUMNS
from recon.study.store import Store

TASKS = int(os.environ.get("RECON_TASKS", "100000"))
pytestmark = pytest.mark.slow


def resident() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def write_finished(store: Store, key: str, number: int) -> None:
    """Write a finished task as `publish` leaves it, without waiting for the disk."""
    folder = store.directory(key)
    folder.mkdir(parents=True)
    row = {"trial": number, "method": "empty", "status": "finished", **dict.fromkeys(COLUMNS[11:25], number / 7)}
    files = {"row.json": json.dumps({"rows": [row], "artefacts": []}), "trace.jsonl": "{}\n"}
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "manifest.json").write_text(json.dumps({name: len(content) for name, content in files.items()}))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks at memory as Linux shows it")
def test_a_hundred_thousand_tasks_are_named_found_again_and_summarised(tmp_path: Path) -> None:
    store = Store(tmp_path)
    began = time.perf_counter()
    keys = [digest({"task": number, "settings": list(range(30))}) for number in range(TASKS)]
    naming = time.perf_counter() - began
    for number, key in enumerate(keys):
        write_finished(store, key, number)
    before = resident()
    began = time.perf_counter()
    store.select(keys)
    assert all(store.current(key, tmp_path) for key in keys)
    resuming = time.perf_counter() - began
    began = time.perf_counter()
    write_table(tmp_path / "results.csv", store.rows(keys), COLUMNS)
    writing = time.perf_counter() - began
    grown = resident() - before
    with (tmp_path / "results.csv").open(newline="") as stream:
        assert sum(int(row["trial"]) for row in csv.DictReader(stream)) == TASKS * (TASKS - 1) // 2
    spent = {"naming": naming, "resuming": resuming, "writing": writing}
    told = ", ".join(f"{name} {1e3 * seconds / TASKS:.3f}" for name, seconds in spent.items())
    sys.stdout.write(f"ms a task: {told}; {grown:.1f} MB more\n")
    assert sum(spent.values()) <= 1e-3 * TASKS and grown < 64


def test_empty_jobs_cost_less_than_a_millisecond(tmp_path: Path) -> None:
    crew, latest, seen, before = Crew(partial(Nothing), 2), 0.0, 0, 0.0
    for outcome in crew.run(range(TASKS)):
        if seen == 0:
            began, before = time.perf_counter(), resident()
        seen += 1
        assert outcome.line == "" and not outcome.error
    latest = time.perf_counter() - began
    grown = resident() - before
    sys.stdout.write(f"{1e3 * latest / TASKS:.3f} ms a job, {grown:.1f} MB more\n")
    assert seen == TASKS and latest <= 1e-3 * TASKS and grown < 32
