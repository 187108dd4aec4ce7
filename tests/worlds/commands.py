"""Commands run in subprocesses, and their output files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

RUN = "import sys; from recon.cli import main; sys.exit(main(sys.argv[1:]))"


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(stream)]


def children(pid: int) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            yield int(folder.name)
