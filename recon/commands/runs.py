"""`recon runs list|show|rm|export`: manage the folders of runs."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from recon.commands.arguments import Commands, Write
from recon.errors import InputError
from recon.files.paths import user_path

if TYPE_CHECKING:
    from recon.study.folders import RunFolder


def add_parser(commands: Commands) -> None:
    """Add `runs` and its verbs to the commands."""
    about = "list, show, remove and export runs"
    verbs = commands.add_parser("runs", help=about).add_subparsers(required=True, metavar="WHAT")
    found = verbs.add_parser("list", help="one line per run")
    found.add_argument("root", type=user_path, nargs="?", default=Path("runs"), help="the folder of the runs (runs)")
    found.set_defaults(command=list_runs)
    shown = verbs.add_parser("show", help="environment of a run and status of its tasks")
    shown.add_argument("run", type=user_path, help="the run's folder")
    shown.set_defaults(command=show)
    gone = verbs.add_parser("rm", help="remove runs")
    gone.add_argument("run", type=user_path, nargs="+", help="the runs' folders")
    gone.add_argument("--yes", action="store_true", help="delete; without this flag, dry run")
    gone.add_argument("--leftovers", action="store_true", help="only tasks that are unfinished or no longer configured")
    gone.set_defaults(command=rm)
    older = verbs.add_parser("adopt", help="mark a run of an earlier version as a run; its tasks are computed again")
    older.add_argument("run", type=user_path, help="the run's folder")
    older.set_defaults(command=adopt_run)
    packed = verbs.add_parser("export", help="write a run to an archive for sharing")
    packed.add_argument("run", type=user_path, help="the run's folder")
    packed.add_argument("archive", type=user_path, metavar="FILE.zip", help="the archive")
    packed.add_argument("--movies", action="store_true", help="include the clips and their reconstructions")
    packed.set_defaults(command=export_run)


def list_runs(options: argparse.Namespace, write: Write) -> None:
    """Write one line per run: folder, rows, tasks, date, device, commit and size."""
    from recon.study.folders import runs_below

    lines: list[tuple[str, ...]] = [("run", "rows", "failed", "tasks", "left", "changed", "device", "commit", "MB")]
    broken: list[str] = []
    for run in runs_below(options.root):
        try:
            lines.append(_line(run))
        except InputError as error:
            broken.append(str(error))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for message in broken:
        write(f"damaged: {message}")


def _line(run: RunFolder) -> tuple[str, ...]:
    tasks, failed = run.tasks, sum(row["status"] == "failed" for row in run.rows)
    when, commit = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.changed)), run.environment.get("git_commit")
    device, size = str(run.environment.get("device")), f"{run.size / 1e6:.1f}"
    counted = (len(run.rows), failed, tasks["finished"], tasks["unfinished"])
    return (str(run.folder), *map(str, counted), when, device, str(commit or "–")[:7], size)


def show(options: argparse.Namespace, write: Write) -> None:
    """Write the folder of a run, the status of its tasks and its environment."""
    from recon.study.folders import RunFolder

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
    from recon.study.folders import RunFolder, own_files, remove

    runs = [RunFolder.of(folder) for folder in options.run]
    for run in runs:
        if options.yes:
            freed, others = remove(run, leftovers=options.leftovers)
            write(f"{run.folder}: {freed / 1e6:.1f} MB removed")
        else:
            own, others = own_files(run, leftovers=options.leftovers)
            size = sum(path.stat().st_size for path in own)
            write(f"{run.folder}: {len(own)} files of recon, {size / 1e6:.1f} MB")
        for path in others:
            write(f"left, not written by recon: {path}")
    if not options.yes:
        write("nothing was removed; add --yes")


def adopt_run(options: argparse.Namespace, write: Write) -> None:
    """Mark a run of an earlier version as a run."""
    from recon.study.folders import adopt

    adopt(options.run)
    write(f"{options.run}: marked as a run; the command that made it computes its tasks again")


def export_run(options: argparse.Namespace, write: Write) -> None:
    """Write a run to an archive."""
    from recon.study.folders import RunFolder, export

    files = export(RunFolder.of(options.run), options.archive, movies=options.movies)
    write(f"{options.archive}: {files} files, {options.archive.stat().st_size / 1e6:.1f} MB")
