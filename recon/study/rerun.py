"""Repeats a run from its saved configuration, and compares the results number by number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import config
from recon.errors import InputError
from recon.study import manifest
from recon.study.benchmark import Say, benchmark
from recon.study.executors.places import HERE, Place
from recon.study.folders import INPUTS, RunFolder
from recon.study.outputs import RESULTS, read_results

TIMES = ("seconds", "learning_seconds")
"""Columns that differ between any two runs."""
NAMES = ("recording", "trial", "method", "encoder", "fidelity", "bins", "neurons", "seed", "condition")
"""Columns that identify a row."""
Row = Mapping[str, str]


@dataclass(frozen=True)
class RunComparison:
    """Comparison of two runs of one configuration: missing and additional rows, differing values, environments.

    `differing` holds per column the number of differing values and the largest difference (infinite for non-numbers).
    """

    rows: int
    missing: int
    more: int
    differing: Mapping[str, tuple[int, float]]
    environment: Mapping[str, tuple[Any, Any]]

    @property
    def identical(self) -> bool:
        """Whether all rows and numbers are the same."""
        return not (self.missing or self.more or self.differing)


def rerun(
    folder: Path,
    to: Path | None = None,
    *,
    say: Say = lambda line: None,
    progress: bool = False,
    on: Place = HERE,
    trust_code: bool = False,
) -> tuple[Path, RunComparison]:
    """Repeat a run from its saved configuration, training included, and compare the tables.

    The new run is written to `to` (default: "NAME again" beside the old one), and resumes after an interruption. A run
    may come from somebody else: `module:factory` in its configuration is imported with `trust_code` only.
    """
    before = RunFolder.of(folder)
    target = to or before.folder.with_name(f"{before.folder.name} again")
    if target.resolve() == before.folder.resolve():
        raise InputError(
            f"{target}: expected a folder other than the run's own, which would be overwritten; name another"
        )
    manifest.check(before.folder, of=manifest.RUN, needs=INPUTS)
    tree = config.load(before.folder / "config.yaml", trust_code=trust_code)
    anew = {"run": str(target), "artefacts": str(target / "artefacts")}
    after = RunFolder.of(benchmark({**tree, **anew}, say=say, progress=progress, on=on))
    return after.folder, compare(before, after)


def compare(before: RunFolder, after: RunFolder) -> RunComparison:
    """Compare the tables of two runs, row by row, and their environments."""
    old, new = (_by_name(read_results(run.folder / RESULTS)) for run in (before, after))
    differing: dict[str, tuple[int, float]] = {}
    for name in old.keys() & new.keys():
        for column, apart in _differences(old[name], new[name]).items():
            count, largest = differing.get(column, (0, 0.0))
            differing[column] = (count + 1, max(largest, apart))
    ours, theirs = (_flat(run.environment) for run in (before, after))
    changed = {key: (ours.get(key), theirs.get(key)) for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)}
    return RunComparison(len(old), len(old.keys() - new.keys()), len(new.keys() - old.keys()), differing, changed)


def _by_name(rows: Sequence[Row]) -> dict[tuple[str, ...], Row]:
    named: dict[tuple[str, ...], Row] = {}
    for row in rows:
        name = tuple(row.get(column, "") for column in NAMES)
        number = 0
        while (*name, str(number)) in named:
            number += 1
        named[*name, str(number)] = row
    return named


def _differences(old: Row, new: Row) -> dict[str, float]:
    columns = [
        name for name in old if name not in TIMES and old[name] != new.get(name)
    ]  # columns new in the second table do not count
    return {name: _distance(old.get(name), new.get(name)) for name in columns}


def _distance(old: str | None, new: str | None) -> float:
    try:
        return abs(float(old or "nan") - float(new or "nan"))
    except ValueError:
        return math.inf


def _flat(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages") or {}
    return {key: json.dumps(value) for key, value in {**environment, **packages}.items() if key != "packages"}
