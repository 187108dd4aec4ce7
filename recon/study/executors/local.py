"""Jobs in processes of this machine: each is done once; jobs of a process that died are tried again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from recon.errors import InputError
from recon.study.executors.jobs import ATTEMPTS, Do, JobOutcome, Ledger, News, done

PATIENCE = 20.0
"""Seconds that an interrupted process has to save its state."""
SPAWN = multiprocessing.get_context("spawn")


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: int | None = None
    ready: bool = False


@dataclass
class Crew:
    """Worker processes; `make` (picklable) is called once in each.

    Each process sees one of the graphics `cards`, if any, in turn.
    """

    make: Callable[[], Do]
    size: int
    cards: tuple[str, ...] = ()
    started: int = 0
    unready: int = 0
    workers: list[_Worker] = field(default_factory=list)

    def run(self, jobs: Sequence[int]) -> Iterator[JobOutcome]:
        """Yield outcomes as they come.

        Raises OSError for a full disk, and InputError for processes that end before they are ready. In both cases, and
        when the iterator is closed, all processes are asked to save their state and ended.
        """
        ledger = Ledger(deque(jobs), len(jobs))
        try:
            while ledger.left:
                self._hire(ledger)
                self._hand_out(ledger)
                yield from ledger.settled(self._heard())
        finally:
            self._end()

    def _hire(self, ledger: Ledger) -> None:
        while ledger.waiting and len(self.workers) < min(self.size, ledger.left):
            self._start()

    def _hand_out(self, ledger: Ledger) -> None:
        for worker in [w for w in self.workers if w.job is None and w.ready][: len(ledger.waiting)]:
            worker.job = ledger.begin()
            with contextlib.suppress(OSError):  # a dead process is noticed in `_heard`
                worker.pipe.send(worker.job)

    def _start(self) -> None:
        ours, theirs = SPAWN.Pipe()
        card = self.cards[self.started % len(self.cards)] if self.cards else None
        process = SPAWN.Process(
            target=serve, args=(theirs, self.make, card), name=f"worker {self.started}", daemon=True
        )
        process.start()
        theirs.close()
        self.started += 1
        self.workers.append(_Worker(process, ours))

    def _heard(self) -> Iterator[tuple[int, News]]:
        """Wait until a process reports or ends, and yield the news of its job."""
        ends: list[Any] = [end for worker in self.workers for end in (worker.pipe, worker.process.sentinel)]
        heard = wait(ends)
        for worker in [w for w in self.workers if w.pipe in heard or w.process.sentinel in heard]:
            job, news = worker.job, self._news(worker)
            if job is not None:
                yield job, news

    def _news(self, worker: _Worker) -> News:
        """Return the report of a process, or that it has ended."""
        try:
            what, text = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return "ended", f"its process ended with {_said(worker.process.exitcode)}"
        worker.ready, worker.job, self.unready = True, None, 0
        return str(what), str(text)

    def _bury(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        self.unready += not worker.ready
        if self.unready >= ATTEMPTS:
            raise InputError(
                f"{worker.process.name}: expected a process that gets ready, got {ATTEMPTS} that did not, the last "
                f"ended with {_said(worker.process.exitcode)}; take fewer processes, or run with --on here to see why"
            )

    def _end(self) -> None:
        for worker in self.workers:
            if worker.job is not None and worker.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            worker.pipe.close()  # tells an idle process to end
        for worker in self.workers:
            worker.process.join(PATIENCE)
            worker.process.kill()
            worker.process.join()
        self.workers.clear()


def serve(pipe: Connection, make: Callable[[], Do], card: str | None) -> None:
    """Do jobs from a pipe until it closes; the main function of a worker process, which ends with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = card
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        do = make()
        pipe.send(("ready", ""))
        while True:
            pipe.send(done(do, pipe.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _said(code: int | None) -> str:
    """Return the end of a process in words.

    >>> _said(-9), _said(1)
    ('signal 9', 'exit code 1')
    """
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
