"""Kill −9 at random moments, a full disk, two drivers, a clock that jumps: what is finished stays finished."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.commands import RUN, children, rows_of

from recon.study.benchmark import benchmark
from recon.study.store import Store

KILLS = int(os.environ.get("RECON_KILLS", "30"))
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A table of 33 tasks of a fraction of a second, some of which need what must be learnt first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tree = configuration(world) | {"run": str(tmp_path / "run"), "artefacts": str(tmp_path / "artefacts"), "batch": 1}
    tree["rows"][1]["seeds"] = list(range(10))
    yield tree
    torch.set_num_threads(threads)


def start(config: Path, where: str = "local:2") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, "benchmark", str(config), "--on", where]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def whole(run: Path) -> None:
    """Whatever stands under its final name is whole, at any moment."""
    table = run / "results.csv"
    if table.exists():
        with table.open(newline="") as stream:
            assert all(None not in row and None not in row.values() for row in csv.DictReader(stream))
    for task in run.glob("tasks/*"):
        assert Store(run).complete(task.name) or not task.exists()


@linux
@pytest.mark.slow
def test_killed_at_random_moments_runs_end_with_the_same_table(tree: dict[str, Any], tmp_path: Path) -> None:
    """Drivers and workers are killed in turn by chance; a driver's run goes on with the same command."""
    one = rows_of(benchmark(tree))
    drawn, kills, finished, drivers = random.Random(0), 0, 0, 0
    while kills < KILLS:
        run = tmp_path / f"run {finished}"
        config = tmp_path / "storm.yaml"
        OmegaConf.save(OmegaConf.create(tree | {"run": str(run), "artefacts": str(run / "artefacts")}), config)
        ended = False
        while not ended:
            process = start(config)
            while process.poll() is None:
                time.sleep(drawn.uniform(0.1, 7.0))  # processes need three seconds to begin, a run some twelve
                workers = list(children(process.pid))
                if process.poll() is not None or kills >= KILLS:
                    break
                target = drawn.choice([process.pid, *workers, *workers])
                try:
                    os.kill(target, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                kills, drivers = kills + 1, drivers + (target == process.pid)
                whole(run)
            said = process.communicate(timeout=300)[1]
            ended = process.returncode == 0 and all(row["status"] == "finished" for row in rows_of(run))
            assert process.returncode in (0, -signal.SIGKILL) or "expected a process that gets ready" in said, said
        assert rows_of(run) == one
        finished += 1
    assert finished >= 2 and drivers >= KILLS / 10


@linux
@pytest.mark.slow
def test_a_second_driver_leaves_with_a_clear_word(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["rows"][1] |= {"method": {"name": "gradient", "iterations": 100000}, "seeds": [0]}
    config = tmp_path / "two.yaml"
    OmegaConf.save(OmegaConf.create(tree), config)
    first = start(config)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("run/partial/*/trace.jsonl")):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        second = start(config)
        said = second.communicate(timeout=120)[1]
        assert second.returncode == 2 and "expected no other writer, got a command that is running" in said
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    short = tree | {"rows": tree["rows"][:1]}
    rows = rows_of(benchmark(short))
    assert len(rows) == len({row["trial"] for row in rows}) > 0, "the lock goes with its holder; no row is there twice"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", "local:2"])
def test_a_small_disk_fills_up_and_the_run_goes_on_when_there_is_room(
    where: str, tree: dict[str, Any], tmp_path: Path
) -> None:
    one = rows_of(benchmark(tree))
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        small = tree | {"run": str(disk / "run"), "artefacts": str(disk / "artefacts")}
        config = tmp_path / "small.yaml"
        OmegaConf.save(OmegaConf.create(small), config)
        full = start(config, where)
        said = full.communicate(timeout=300)[1]
        assert full.returncode == 2 and said.startswith("recon: disk full: expected room"), said
        whole(disk / "run")
        finished = len(list(disk.glob("run/tasks/*")))
        assert finished < len(one)
        assert finished or where != "here", "two processes may fill the disk before either has finished a task"
        subprocess.run(["mount", "-o", "remount,size=500m", str(disk)], check=True)
        again = start(config, where)
        assert again.communicate(timeout=300) and again.returncode == 0
        assert rows_of(disk / "run") == one
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, order and progress hang on what goes in and on the monotonic clock, not on the time of day."""
    tree["rows"][1]["seeds"] = [0, 1]
    one = rows_of(benchmark(tree))
    hours = iter([0.0, 2e9, -1e9, 4e9] * 100000)
    monkeypatch.setattr(time, "time", lambda: next(hours))
    said: list[str] = []
    other = tree | {"run": f"{tree['run']} again", "artefacts": f"{tree['artefacts']} again"}
    assert rows_of(benchmark(other)) == one
    for file in Path(tree["run"]).rglob("*.json"):
        os.utime(file, (4e9, 4e9))
    assert rows_of(benchmark(tree, say=said.append)) == one and all("done already" in line for line in said)
