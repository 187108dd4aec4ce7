"""Jobs beside each other: every one is done once, whatever becomes of the processes that do them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from worlds.bench import configuration
from worlds.commands import RUN, children, rows_of
from worlds.jobs import BREAKS, DIES, DIES_ONCE, REFUSES, Full, Jobs, never_ready

from recon.cli import main
from recon.data.sensorium import SensoriumRecording
from recon.report.page import write_report
from recon.study.benchmark import benchmark
from recon.study.executors.jobs import ATTEMPTS, in_turn
from recon.study.executors.local import Crew
from recon.study.executors.places import Place, place_of


def test_jobs_are_done_once_and_those_that_die_are_tried_again(tmp_path: Path) -> None:
    jobs = [0, 1, DIES_ONCE, DIES, REFUSES, BREAKS, 2, 3]
    found = {outcome.job: outcome for outcome in Crew(partial(Jobs, tmp_path), 2).run(jobs)}
    assert sorted(found) == sorted(jobs)
    for job in (0, 1, 2, 3):
        assert found[job].line == f"job {job}" and found[job].attempts == 1
    assert found[DIES_ONCE].line == "job 10" and found[DIES_ONCE].attempts == 2
    assert found[DIES].error == "its process ended with signal 9" and found[DIES].attempts == ATTEMPTS
    assert found[REFUSES].error == "InputError: expected better input" and found[REFUSES].attempts == 1
    assert found[BREAKS].error == "RuntimeError: broken" and found[BREAKS].attempts == ATTEMPTS
    tries = {job: len(list(tmp_path.glob(f"{job}-*"))) for job in jobs}
    assert tries == {0: 1, 1: 1, 2: 1, 3: 1, DIES_ONCE: 2, DIES: 3, REFUSES: 1, BREAKS: 3}


@pytest.mark.parametrize("here", [True, False], ids=["here", "local"])
def test_the_traceback_of_a_defect_is_shown(
    here: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    jobs, do = [0, REFUSES, BREAKS], Jobs(tmp_path)
    found = {
        outcome.job: outcome for outcome in (in_turn(do, jobs) if here else Crew(partial(Jobs, tmp_path), 1).run(jobs))
    }
    assert (found[0].line, found[REFUSES].error, found[BREAKS].error) == (
        "job 0",
        "InputError: expected better input",
        "RuntimeError: broken",
    )
    assert (found[REFUSES].attempts, found[BREAKS].attempts) == (1, ATTEMPTS)
    shown = capfd.readouterr().err + caplog.text  # pytest keeps the log of this process from standard error
    assert shown.count("Traceback") == ATTEMPTS and "in __call__" in shown and "expected better input" not in shown


def test_an_interrupt_and_a_full_disk_end_jobs_of_this_process(tmp_path: Path) -> None:
    def interrupted(job: int) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_turn(interrupted, [0, 1]))
    with pytest.raises(OSError, match="No space left on device"):
        list(in_turn(Full(tmp_path), [0, 1]))


def test_processes_that_never_get_ready_are_named() -> None:
    with pytest.raises(ValueError, match=r"expected a process that gets ready, got 3 .* exit code 3; take fewer"):
        list(Crew(never_ready, 1).run([0]))


def test_a_full_disk_ends_all() -> None:
    with pytest.raises(OSError, match="No space left on device"):
        list(Crew(partial(Full, Path()), 1).run([0, 1]))


@pytest.mark.parametrize("name", ["local:0", "everywhere", "ray://", "local:x", ""])
def test_places_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="--on: expected here, local"):
        place_of(name)
    assert place_of("local", "cpu").processes >= 1


def test_overrides_may_stand_behind_options(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(world / "bench.yaml"), "--on", "local:0", f"run={tmp_path}"]) == 2
    assert "--on: expected here" in capsys.readouterr().err
    assert main(["list", "a=b"]) == 2
    assert "expected the name of a preset" in capsys.readouterr().err
    for wrong in (["benchmark", "a.yaml", "--on", "here", "more"], ["benchmark", "a.yaml", "--no=1"]):
        with pytest.raises(SystemExit):
            main(wrong)
        assert re.search(r"recon \w+: expected .*, got ", capsys.readouterr().err)


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A table of nine tasks, and one thread as in each of the processes: with more, sums round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tree = configuration(world) | {"run": str(tmp_path / "run"), "batch": 1, "artefacts": str(tmp_path / "artefacts")}
    tree["rows"][1]["seeds"] = [0, 1]
    yield tree
    torch.set_num_threads(threads)


@pytest.mark.slow  # processes with torch, beside each other
def test_beside_each_other_gives_the_table_of_one_after_another(tree: dict[str, Any], tmp_path: Path) -> None:
    tree |= {"recording": str(shutil.copytree(tree["recording"], tmp_path / "recording"))}
    tree["rows"] = [row | {"data": 0.5} for row in tree["rows"]]
    last = SensoriumRecording(tmp_path / "recording").trials("train")[-1]
    path = tmp_path / f"recording/data/responses/{last}.npy"
    responses = np.load(path).astype(np.float32)
    responses[3, 10] = np.inf
    np.save(path, responses)
    one = rows_of(benchmark(tree))
    said: list[str] = []
    failing = {"label": "all trials", "method": {"name": "mean"}}
    beside = tree | {"run": str(tmp_path / "beside"), "artefacts": str(tmp_path / "beside/artefacts")}
    beside["rows"] = [failing, *tree["rows"]]
    run = benchmark(beside, say=said.append, on=Place(2))
    rows = rows_of(run)
    here = beside | {"run": str(tmp_path / "here"), "artefacts": str(tmp_path / "here/artefacts")}
    assert rows_of(benchmark(here)) == rows, "failures give the same rows in this process"
    assert rows[3:] == one
    assert {row["status"] for row in rows[:3]} == {"failed"} and not any(row["video_correlation"] for row in rows[:3])
    assert all(row["message"].startswith("given up: InputError: ") for row in rows[:3])
    assert [row["trial"] for row in rows[:3]] == [row["trial"] for row in one[:3]]
    assert len(said) == 12 and sum("failed, given up" in line for line in said) == 3
    assert "given up: InputError" in write_report(run).read_text("utf-8")
    said.clear()
    benchmark(beside, say=said.append, on=Place(2))
    assert sum("done already" in line for line in said) == 9 and sum("given up" in line for line in said) == 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGKILL, id="killed"), pytest.param(signal.SIGINT, id="interrupted")]
)
def test_processes_end_with_their_parent(how: signal.Signals, tree: dict[str, Any], tmp_path: Path) -> None:
    tree["rows"] = [{"label": "pixels", "method": {"name": "gradient", "iterations": 1000000}}]
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "long.yaml")
    command = [sys.executable, "-c", RUN, "benchmark", str(tmp_path / "long.yaml"), "--on", "local:2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        # The second line of a trace says that the first iterate is done with, so that an interrupt has a state to save.
        while sum(len(log.read_text().splitlines()) > 1 for log in tmp_path.glob("run/partial/*/trace.jsonl")) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        workers = list(children(process.pid))
        process.send_signal(how)
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == (-9 if how == signal.SIGKILL else 130), errors
    while any(Path(f"/proc/{pid}/stat").exists() for pid in workers):
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    if how == signal.SIGINT:
        assert "interrupted: finished work is kept" in errors
        assert len(list(tmp_path.glob("run/partial/*/state.safetensors"))) == 2
