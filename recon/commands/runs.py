"""`recon runs list|show|rm|export` and `recon rerun`: manage the folders of runs and test their reproducibility."""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator

from recon.study.executors.places import place_of
from recon.study.folders import RunFolder, export, remove, runs_below
from recon.study.rerun import RunComparison
from recon.study.rerun import rerun as run_again

Write = Callable[[str], None]
DIFFERENT = 1
"""Exit code of `recon rerun` if any number differs."""


def list_runs(options: argparse.Namespace, write: Write) -> None:
    """Write one line per run: folder, rows, tasks, date, device, commit and size."""
    lines: list[tuple[str, ...]] = [("run", "rows", "failed", "tasks", "left", "changed", "device", "commit", "MB")]
    for run in runs_below(options.root):
        tasks, failed = run.tasks, sum(row["status"] == "failed" for row in run.rows)
        when, commit = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.changed)), run.environment.get("git_commit")
        device, size = str(run.environment.get("device")), f"{run.size / 1e6:.1f}"
        counted = (len(run.rows), failed, tasks["finished"], tasks["unfinished"])
        lines.append((str(run.folder), *map(str, counted), when, device, str(commit or "–")[:7], size))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show(options: argparse.Namespace, write: Write) -> None:
    """Write the folder of a run, the status of its tasks and its environment."""
    run = RunFolder.of(options.run)
    write(f"run: {run.folder}")
    for kind, count in run.tasks.items():
        write(f"tasks {kind}: {count}")
    statuses = Counter((row["method"], row["status"]) for row in run.rows)
    for (method, status), count in statuses.items():
        write(f"{method}: {count} rows {status}")
    for name, value in run.environment.items():
        for key, shown in value.items() if isinstance(value, dict) else ((name, value),):
            write(f"{key}: {shown}")


def rm(options: argparse.Namespace, write: Write) -> None:
    """Remove runs, or only their leftover tasks."""
    runs = [RunFolder.of(folder) for folder in options.run]
    if not options.yes:
        for run in runs:
            write(f"{run.folder}: {run.size / 1e6:.1f} MB, {len(run.rows)} rows")
        write("nothing was removed; add --yes")
        return
    for run in runs:
        write(f"{run.folder}: {remove(run, leftovers=options.leftovers) / 1e6:.1f} MB removed")


def export_run(options: argparse.Namespace, write: Write) -> None:
    """Write a run to an archive."""
    files = export(RunFolder.of(options.run), options.archive, movies=options.movies)
    write(f"{options.archive}: {files} files, {options.archive.stat().st_size / 1e6:.1f} MB")


def rerun(options: argparse.Namespace, write: Write) -> int:
    """Repeat a run and compare all numbers; return exit code 0 if they are identical."""
    folder, found = run_again(options.run, options.to, say=write, progress=True, on=place_of(options.on))
    write(f"again: {folder}")
    for line in compared(found):
        write(line)
    return 0 if found.identical else DIFFERENT


def compared(found: RunComparison) -> Iterator[str]:
    """Yield the lines that compare two runs of one configuration."""
    if found.identical:
        yield f"{found.rows} rows, all numbers identical"
    else:
        yield f"{found.rows} rows, {found.missing} of them missing, {found.more} more"
    for column, (count, largest) in sorted(found.differing.items()):
        apart = "not numeric" if math.isinf(largest) else f"by at most {largest:.3g}"
        yield f"  {column}: {count} values differ, {apart}"
    for name, (before, after) in sorted(found.environment.items()):
        yield f"  {name} was {before}, is {after}"
