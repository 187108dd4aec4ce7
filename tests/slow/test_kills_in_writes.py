"""Processes that die inside the writes of checkpoints: the same command ends with the table of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from worlds.bench import configuration
from worlds.commands import rows_of
from worlds.interrupts import bits

KILLS = int(os.environ.get("RECON_KILLS_IN_WRITES", "50"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names open files as Linux does"),
]
DECODER = {
    "name": "convolutional",
    "architecture": {"widths": [2, 4], "depth": 1},
    "learning": {"steps": 6, "validate_every": 3},
    "batch": 2,
    "frames": 30,
    "margin": 4,
}


def results(folder: Path) -> dict[str, Any]:
    """Everything that a run leaves, without seconds: table, movies, traces, what was learnt, names of files."""
    tasks = {task.name: sorted(path.name for path in task.iterdir()) for task in (folder / "run" / "tasks").iterdir()}
    traces = [path.read_text().splitlines() for path in sorted(folder.glob("run/tasks/*/trace.jsonl"))]
    lines = [[{k: v for k, v in json.loads(line).items() if "second" not in k} for line in lines] for lines in traces]
    movies = [path.read_bytes() for path in sorted(folder.glob("run/tasks/*/movie.h5"))]
    learnt = sorted(folder.glob("artefacts/[!.]*.safetensors"))
    weights = {path.name: {name: bits(value) for name, value in load_file(path).items()} for path in learnt}
    assert not list(folder.glob("artefacts/*.training")) and not list((folder / "run" / "partial").iterdir())
    return {"table": rows_of(folder / "run"), "files": tasks, "traces": lines, "movies": movies, "weights": weights}


def test_killed_inside_writes_of_checkpoints_runs_end_with_the_same_table(world: Path, tmp_path: Path) -> None:
    """At random steps of a write, half-written files included; a run is killed up to three times."""
    rows = [
        {"label": "decoder", "method": DECODER},
        {"label": "red", "method": {"name": "red_diff", "iterations": 4}, "encoders": ["first"]},
        {"label": "map", "method": {"preset": "map_spectrum", "iterations": 3}, "encoders": ["first"]},
    ]
    tree = configuration(world) | {"clips": {"count": 1}, "rows": rows}
    (tmp_path / "config.json").write_text(json.dumps(tree))
    command = [sys.executable, "-m", "worlds.kills", str(tmp_path / "config.json"), str(KILLS), str(tmp_path)]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": paths}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["kills"] >= KILLS and told["steps"] > 30
    sys.stdout.write(ended.stdout)
    whole = results(tmp_path / "whole")
    for number in range(told["runs"]):
        assert results(tmp_path / f"killed {number}") == whole, f"run {number}"
