"""Book-keeping of very many tasks: the last cost what the first do, in memory that hardly grows with them."""

from __future__ import annotations

import csv
import hashlib
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
from recon.study.outputs import columns
from recon.study.store import Store

TASKS = int(os.environ.get("RECON_TASKS", "100000"))
pytestmark = [pytest.mark.slow, pytest.mark.alone]


def resident() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def write_finished(store: Store, key: str, number: int) -> None:
    """Write a finished task as `publish` leaves it, without waiting for the disk."""
    folder = store.directory(key)
    folder.mkdir(parents=True)
    row = {"trial": number, "method": "empty", "status": "finished", **dict.fromkeys(columns()[11:25], number / 7)}
    files = {"row.json": json.dumps({"rows": [row], "artefacts": []}), "trace.jsonl": "{}\n"}
    for name, content in files.items():
        (folder / name).write_text(content)
    known = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}
    content = {"of": key, "files": known}
    (folder / "manifest.json").write_text(json.dumps({**content, "sum": digest(content)}))


def key_of(number: int) -> str:
    return digest({"task": number, "settings": list(range(30))})


def accounted(folder: Path, count: int) -> dict[str, float]:
    """Name the first `count` tasks, find them finished, write their table; return the seconds of each."""
    store, began = Store(folder), time.perf_counter()
    keys = [key_of(number) for number in range(count)]
    named = time.perf_counter()
    store.select(keys)
    assert all(store.current(key, folder) for key in keys)
    found = time.perf_counter()
    write_table(folder / "results.csv", store.rows(keys), columns())
    return {"naming": named - began, "resuming": found - named, "writing": time.perf_counter() - found}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks at memory as Linux shows it")
def test_a_hundred_thousand_tasks_are_named_found_again_and_summarised(tmp_path: Path) -> None:
    """In time that grows as their number: twice as many take twice as long, four times if each looked at all."""
    for number in range(TASKS // 2):
        write_finished(Store(tmp_path), key_of(number), number)
    half = accounted(tmp_path, TASKS // 2)
    for number in range(TASKS // 2, TASKS):
        write_finished(Store(tmp_path), key_of(number), number)
    before = resident()
    spent = accounted(tmp_path, TASKS)
    grown = resident() - before
    with (tmp_path / "results.csv").open(newline="") as stream:
        assert sum(int(row["trial"]) for row in csv.DictReader(stream)) == TASKS * (TASKS - 1) // 2
    told = ", ".join(f"{name} {1e3 * spent[name] / TASKS:.3f} ({spent[name] / half[name]:.1f} ×)" for name in spent)
    sys.stdout.write(f"ms a task (the time of half as many): {told}; {grown:.1f} MB more\n")
    assert all(spent[name] <= 3 * half[name] for name in spent) and grown < 64


def test_the_last_of_very_many_empty_jobs_cost_what_the_first_do() -> None:
    crew, seen, marks, before = Crew(partial(Nothing), 2), 0, [], 0.0
    for outcome in crew.run(range(TASKS)):
        if seen == 0:
            before = resident()
        if seen in (0, TASKS // 2, TASKS - 1):
            marks.append(time.perf_counter())
        seen += 1
        assert outcome.line == "" and not outcome.error
    grown, (first, second) = resident() - before, (marks[1] - marks[0], marks[2] - marks[1])
    sys.stdout.write(f"{1e3 * (first + second) / TASKS:.3f} ms a job, {grown:.1f} MB more\n")
    assert seen == TASKS and second <= 1.5 * first and grown < 32
