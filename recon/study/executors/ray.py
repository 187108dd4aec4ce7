"""Jobs on a Ray cluster: each is done once; jobs of an actor or node that died are tried again.

Ray (Moritz et al. 2018) places actors on nodes. Each actor loads shared inputs once and then does one job after
another. All nodes share the folders: jobs are sent as numbers, results return as lines.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.files.code_version import all_modules, code_version
from recon.study.executors.jobs import ATTEMPTS, Do, JobOutcome, Ledger, News, done
from recon.study.settings import Share

LOOK_ROUND = 2.0
"""Seconds between checks of the size of the cluster."""
OWN = "local"
"""Ray's word for a Ray that is started here, whatever else runs on this machine."""
SPANS_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's setting on which its address depends, on Linux too: 0 binds every port to loopback, else all are wildcards."""


@dataclass(repr=False)
class Hand:
    """Worker of an actor: does jobs in the folder of the command that started it."""

    make: Callable[[], Do]
    folder: str
    versions: dict[str, str]
    do: Do | None = None

    def ready(self) -> None:
        """Get ready; raises InputError if this node has other versions or lacks the folder."""
        if not Path(self.folder).is_dir():
            raise InputError(f"node: expected the folder {self.folder} on every node, got none; share it between them")
        os.chdir(self.folder)
        if (found := versions()) != self.versions:
            raise InputError(f"node: expected {self.versions} as where the command runs, got {found}; install them")
        self.do = self.make()

    def job(self, number: int) -> News:
        """Do a job and return its outcome."""
        if self.do is None:
            self.ready()
        return done(self.do, number) if self.do else ("failed", "not ready")


@dataclass
class RayCrew:
    """Actors of a Ray cluster; `make` (picklable) is called once in each.

    Without an `address`, the cluster of RAY_ADDRESS is joined, or Ray is started on this machine.
    """

    make: Callable[[], Do]
    share: Share
    address: str = ""
    unready: int = 0
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, tuple[Any, int | None]] = field(default_factory=dict)

    def run(self, jobs: Sequence[int]) -> Iterator[JobOutcome]:
        """Yield outcomes as they come.

        Raises OSError for a full disk, and InputError if actors cannot get ready or no node has room for one. All
        actors end when the iterator is closed; the next run resumes from the checkpoints of their tasks.
        """
        ray = connected(self.address)
        ledger = Ledger(deque(jobs), len(jobs))
        try:
            while ledger.left:
                self._hire(ray, ledger)
                self._hand_out(ledger)
                yield from ledger.settled(self._heard(ray))
        finally:
            self._end(ray)

    def _hire(self, ray: Any, ledger: Ledger) -> None:
        room = fitting(self.share, ray.cluster_resources())
        if not room and not self.busy:
            raise InputError(
                f"cluster: expected a node with {self.share}, got {ray.cluster_resources()}; ask for less, or add nodes"
            )
        hands = ray.remote(max_restarts=0, max_task_retries=0, **options(self.share))(Hand)
        while len(self.busy) + len(self.idle) < min(room, ledger.left):
            hand = hands.remote(self.make, str(Path.cwd()), versions())
            self.busy[hand.ready.remote()] = (hand, None)

    def _hand_out(self, ledger: Ledger) -> None:
        while self.idle and ledger.waiting:
            hand, job = self.idle.pop(), ledger.begin()
            self.busy[hand.job.remote(job)] = (hand, job)

    def _heard(self, ray: Any) -> Iterator[tuple[int, News]]:
        """Wait until an actor reports or ends, and yield the news of its job."""
        heard, _ = ray.wait(list(self.busy), num_returns=1, timeout=LOOK_ROUND)
        for answer in heard:
            hand, job = self.busy.pop(answer)
            news = self._news(ray, answer, getting_ready=job is None)
            if news[0] != "ended":
                self.idle.append(hand)
            if job is not None:
                yield job, news

    def _news(self, ray: Any, answer: Any, *, getting_ready: bool) -> News:
        try:
            what, text = ray.get(answer) or ("ready", "")
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except ray.exceptions.RayError as error:
            said = " ".join(str(error).split())
            self.unready += getting_ready
            if self.unready >= ATTEMPTS:
                raise InputError(
                    f"cluster: expected actors that get ready, got {ATTEMPTS} that did not, the last: {said}; run with "
                    "--on here to see why"
                ) from error
            return "ended", said
        self.unready = 0
        return str(what), str(text)

    def _end(self, ray: Any) -> None:
        for hand in (*self.idle, *(hand for hand, _ in self.busy.values())):
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(hand)
        self.idle.clear()
        self.busy.clear()


def options(share: Share) -> dict[str, Any]:
    """Return a share as options of Ray."""
    return {"num_cpus": share.cpus, "num_gpus": share.gpus, **({"memory": share.memory} if share.memory else {})}


def fitting(share: Share, resources: dict[str, float]) -> int:
    """Return how many shares fit into a cluster.

    >>> fitting(Share(cpus=2, gpus=0.5), {"CPU": 8.0, "GPU": 1.0})
    2
    """
    wanted = {"CPU": share.cpus, "GPU": share.gpus, "memory": share.memory}
    return int(min(resources.get(name, 0.0) / need for name, need in wanted.items() if need))


def versions() -> dict[str, str]:
    """Return the versions that must agree on all nodes."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "torch": version("torch"),
        "code": code_version(*all_modules()),
    }


def connected(address: str) -> Any:
    """Return Ray, joined at an address or that of RAY_ADDRESS, or else started on this machine, on loopback only.

    Raises InputError if it is not installed or not reachable.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes over the network unless asked
    own = (address or os.environ.get("RAY_ADDRESS", "")) in ("", OWN)
    if own:
        os.environ[SPANS_MACHINES] = "0"  # read once, when Ray is imported; its processes inherit it
    try:
        import ray
    except ImportError as error:
        raise InputError("--on ray: expected Ray, got no such package; pip install 'recon[cluster]'") from error
    if not ray.is_initialized():
        if own:
            _check_loopback(ray.util.get_node_ip_address())
        _join(ray, OWN if own else address)
    return ray


def _check_loopback(address: str) -> None:
    if not ip_address(address).is_loopback:
        raise InputError(
            f"--on ray: expected to start Ray on 127.0.0.1, got {address}, which other machines reach, since this "
            f"process imported Ray before; set {SPANS_MACHINES}=0 before, or name a cluster in RAY_ADDRESS"
        )


def _join(ray: Any, address: str) -> None:
    try:
        about = {"include_dashboard": False} if address == OWN else {}
        ray.init(address=address or None, log_to_driver=False, logging_level="error", **about)
    except (ConnectionError, RuntimeError) as error:
        ray.shutdown()  # else this process stays in client mode, and no later Ray can be started in it
        said, where = " ".join(str(error).split()), address or "ray"
        raise InputError(f"--on {where}: expected a Ray cluster, got: {said}; start it, or correct it") from error
