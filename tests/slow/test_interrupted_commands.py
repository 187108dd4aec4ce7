"""Ctrl-C of `recon benchmark` at random moments: the same command ends with the results of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from worlds.bench import configuration
from worlds.commands import RUN, rows_of

pytestmark = pytest.mark.slow
INTERRUPTS = 6
ROWS: list[dict[str, Any]] = [
    {"label": "decoder", "method": {"name": "convolutional", "batch": 2, "frames": 30, "margin": 4}},
    {"label": "red", "method": {"name": "red_diff", "iterations": 150}, "encoders": ["first"]},
    {"label": "gibbs", "method": {"name": "split_gibbs", "iterations": 30, "burn": 10, "levels": 4}},
    {"label": "published", "method": {"preset": "bauer2025", "iterations": 60}, "encoders": ["first"]},
]
ROWS[0]["method"] |= {"architecture": {"widths": [4, 6], "depth": 1}, "learning": {"steps": 150, "validate_every": 40}}


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, "benchmark", str(config)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def written(tree: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    paths = {"run": str(folder / "run"), "artefacts": str(folder / "artefacts")}
    OmegaConf.save(OmegaConf.create(tree | paths), folder / "bench.yaml")
    return folder / "bench.yaml"


def results(run: Path) -> dict[str, Any]:
    """Table, movies, traces and event files of a run, without seconds; undefined scores equal each other."""
    found: dict[str, Any] = {"table": rows_of(run)}
    for task in sorted((run / "tasks").iterdir()):
        lines = [json.loads(line) for line in (task / "trace.jsonl").read_text().splitlines()]
        found[f"{task.name} trace"] = [{k: v for k, v in line.items() if "second" not in k} for line in lines]
        found[f"{task.name} movie"] = (task / "movie.h5").read_bytes()
        found[f"{task.name} files"] = sorted(path.name for path in task.iterdir())
    for folder in sorted({path.parent for path in run.glob("tensorboard/**/events*")}):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
        name = str(folder.relative_to(run))
        scalars = [tag for tag in events.Tags()["scalars"] if "second" not in tag]
        found |= {f"{name} {tag}": [(e.step, repr(e.value)) for e in events.Scalars(tag)] for tag in scalars}
        found |= {
            f"{name} {tag}": [(e.step, e.encoded_image_string) for e in events.Images(tag)]
            for tag in events.Tags()["images"]
        }
    return found


def test_a_command_interrupted_at_random_moments_ends_as_an_undisturbed_one(world: Path, tmp_path: Path) -> None:
    tree = configuration(world) | {"clips": {"count": 2}, "rows": ROWS, "trace_every": 7}
    undisturbed = start(written(tree, tmp_path / "whole"))
    began = time.monotonic()
    assert undisturbed.wait(timeout=600) == 0
    whole, seconds = results(tmp_path / "whole" / "run"), time.monotonic() - began
    drawn, interrupts, runs = Random(0), 0, 0
    while interrupts < INTERRUPTS:
        config = written(tree, tmp_path / f"cut {runs}")
        code = None
        while code != 0:
            process, wait = start(config), drawn.uniform(0.3, 0.8) * seconds if interrupts < INTERRUPTS else 600
            try:
                code = process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=120)[1]
                code, interrupts = process.returncode, interrupts + 1
                assert code in (0, 130, -signal.SIGINT) and "Traceback" not in said, said
        found = results(config.parent / "run")
        assert found.keys() == whole.keys() and [name for name in whole if found[name] != whole[name]] == []
        runs += 1
    sys.stdout.write(f"{interrupts} interrupts in {runs} runs of {seconds:.0f} s\n")
