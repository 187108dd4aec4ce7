"""Jobs on a Ray cluster of three nodes on this machine: killed actors and nodes cost nothing but time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from worlds.bench import configuration
from worlds.commands import rows_of
from worlds.jobs import BREAKS, DIES, DIES_ONCE, REFUSES, Busy, Full, Jobs, never_ready

from recon.study.benchmark import benchmark
from recon.study.executors import ray as rays
from recon.study.executors.jobs import ATTEMPTS
from recon.study.executors.local import Crew
from recon.study.executors.places import Place, place_of
from recon.study.executors.ray import RayCrew, fitting
from recon.study.settings import Share

os.environ[rays.SPANS_MACHINES] = "0"  # read at the import of Ray: nodes and what is started below are on loopback
ray = pytest.importorskip("ray", reason="needs Ray: pip install 'recon[cluster]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each; those of the machine are shared between them."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # nodes can import the jobs of these tests
    standing = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        standing.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = standing.address
    yield standing
    ray.shutdown()
    standing.shutdown()
    del os.environ["RAY_ADDRESS"], os.environ["PYTHONPATH"]


def test_jobs_are_done_once_and_those_that_die_are_tried_again(cluster: Any, tmp_path: Path) -> None:
    jobs = [0, 1, DIES_ONCE, DIES, REFUSES, BREAKS, 2, 3]
    found = {outcome.job: outcome for outcome in RayCrew(partial(Jobs, tmp_path), Share()).run(jobs)}
    assert sorted(found) == sorted(jobs)
    assert all(found[job].line == f"job {job}" and found[job].attempts == 1 for job in (0, 1, 2, 3))
    assert found[DIES_ONCE].line == "job 10" and found[DIES_ONCE].attempts == 2
    assert "died" in found[DIES].error and found[DIES].attempts == ATTEMPTS
    assert found[REFUSES].error == "InputError: expected better input" and found[REFUSES].attempts == 1
    assert found[BREAKS].error == "RuntimeError: broken" and found[BREAKS].attempts == ATTEMPTS


def test_what_cannot_be_done_is_said(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        list(RayCrew(partial(Full, Path()), Share()).run([0, 1]))
    with pytest.raises(ValueError, match=r"expected actors that get ready, got 3 that did not"):
        list(RayCrew(never_ready, Share()).run([0]))
    with pytest.raises(ValueError, match=r"expected a node with Share\(cpus=64"):
        list(RayCrew(partial(Jobs, tmp_path), Share(cpus=64)).run([0]))
    monkeypatch.setattr(rays, "versions", lambda: {"torch": "0.1"})
    with pytest.raises(ValueError, match=r"node: expected \{'torch': '0.1'\} as where the command runs"):
        list(RayCrew(partial(Jobs, tmp_path), Share()).run([0]))


def workers() -> list[int]:
    """Processes of actors that do jobs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += [int(folder.name)] if b"ray::Hand.job" in (folder / "cmdline").read_bytes() else []
        except OSError:
            continue
    return found


def when(enough: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not enough():
            time.sleep(0.05)
        then()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_sixty_tasks_outlive_a_node_and_two_workers(cluster: Any, world: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tree = configuration(world) | {"run": str(tmp_path / "one"), "artefacts": str(tmp_path / "artefacts"), "batch": 1}
    tree["rows"][1]["seeds"] = list(range(20))
    one = rows_of(benchmark(tree))
    torch.set_num_threads(threads)
    beside = tree | {"run": str(tmp_path / "three"), "artefacts": str(tmp_path / "three/artefacts")}
    lost = cluster.add_node(num_cpus=1)

    def done() -> int:
        return len(list((tmp_path / "three/tasks").glob("*")))

    killed: list[str] = []

    def kill_worker() -> None:
        while not (busy := workers()):
            time.sleep(0.01)
        os.kill(busy[0], signal.SIGKILL)
        killed.append("worker")

    def remove_node() -> None:
        cluster.remove_node(lost, allow_graceful=False)
        killed.append("node")

    storm = ((10, kill_worker), (20, remove_node), (30, kill_worker))
    events = [when(lambda n=n: done() >= n, event) for n, event in storm]
    said: list[str] = []
    rows = rows_of(benchmark(beside, say=said.append, on=Place(ray="")))
    for event in events:
        event.join(10)
        assert not event.is_alive()
    assert sorted(killed) == ["node", "worker", "worker"]
    assert len(said) >= 60 and not any("given up" in line for line in said)
    assert [{k: (a[k], b[k]) for k in a if a[k] != b[k]} for a, b in zip(rows, one, strict=True)] == [{}] * len(one)


@pytest.mark.alone
def test_a_ray_of_this_machine_is_started_where_none_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # for the actors' imports of the jobs
    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "local")  # Ray would join the three nodes again, which fails in the same process
    try:
        assert [outcome.line for outcome in RayCrew(partial(Jobs, tmp_path), Share()).run([0])] == ["job 0"]
    finally:
        ray.shutdown()
    with pytest.raises(ValueError, match=r"--on ray://nowhere\.invalid:10001: expected a Ray cluster"):
        list(RayCrew(partial(Jobs, tmp_path), Share(), "ray://nowhere.invalid:10001").run([0]))
    try:  # the process can start a Ray again
        assert [outcome.line for outcome in RayCrew(partial(Jobs, tmp_path), Share()).run([1])] == ["job 1"]
    finally:
        ray.shutdown()


@pytest.mark.alone
def test_tasks_of_ten_seconds_take_as_long_as_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a tenth longer once all are at work; to start a Ray of this machine takes some ten seconds more."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setattr(rays, "fitting", lambda share, resources: 2)
    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "local")
    spent = {}
    for name, crew in (("local", Crew(partial(Busy, 10.0), 2)), ("ray", RayCrew(partial(Busy, 10.0), Share(cpus=0.5)))):
        began, ends = time.monotonic(), []
        for outcome in crew.run(range(12)):
            ends.append(time.monotonic())
            assert outcome.line == "busy"
        spent[name] = (ends[1] - began, ends[-1] - ends[1])
    ray.shutdown()
    sys.stdout.write(f"seconds until both first tasks were done, and for ten more: {spent}\n")
    assert spent["ray"][1] <= 1.1 * spent["local"][1]


def test_shares_and_places() -> None:
    assert fitting(Share(cpus=1, gpus=0.25), {"CPU": 16.0, "GPU": 2.0}) == 8
    assert fitting(Share(gpus=1), {"CPU": 16.0}) == 0
    assert place_of("ray") == Place(ray="") and place_of("ray://head:10001") == Place(ray="ray://head:10001")
    with pytest.raises(ValueError, match="cluster: expected cpus above 0"):
        Share(cpus=0)
