"""Jobs, each done once: attempts, outcomes, and the jobs of this process one after another."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from recon.errors import InputError
from recon.files import disk_full

ATTEMPTS = 3
"""Attempts after which a failing job is given up; bad input is not tried again."""

Do = Callable[[int], str]
"""Does the job of a number and returns a line about its result."""
News = tuple[str, str]
"""Outcome of an attempt (done, failed, refused, full, or ended with its process) and its message."""


@dataclass(frozen=True)
class JobOutcome:
    """Result of a job after `attempts` attempts: a line about it, or the error for which it was given up."""

    job: int
    line: str = ""
    error: str = ""
    attempts: int = 1


@dataclass
class Ledger:
    """Waiting jobs in order, attempts per running job, and the number of jobs that are not settled."""

    waiting: deque[int]
    left: int
    attempts: dict[int, int] = field(default_factory=dict)

    def begin(self) -> int:
        """Take the next job."""
        job = self.waiting.popleft()
        self.attempts[job] = self.attempts.get(job, 0) + 1
        return job

    def settled(self, heard: Iterable[tuple[int, News]]) -> Iterator[JobOutcome]:
        """Yield the outcomes of jobs that are not tried again, jobs with bad input among them.

        Raises OSError for a full disk, which ends all jobs.
        """
        for job, news in heard:
            outcome = self._settle(job, news)
            if outcome is not None:
                yield outcome

    def _settle(self, job: int, news: News) -> JobOutcome | None:
        what, text = news
        if what == "full":
            raise OSError(text)
        if what not in ("done", "refused") and self.attempts[job] < ATTEMPTS:
            self.waiting.append(job)
            return None
        self.left -= 1
        line, error = (text, "") if what == "done" else ("", text)
        return JobOutcome(job, line, error, self.attempts.pop(job))


def in_turn(do: Do, jobs: Iterable[int]) -> Iterator[JobOutcome]:
    """Do jobs in this process and yield outcomes as they come, the same as other executors; raises OSError likewise."""
    waiting = deque(jobs)
    ledger = Ledger(waiting, len(waiting))
    while ledger.left:
        job = ledger.begin()
        yield from ledger.settled([(job, done(do, job))])


def done(do: Do, job: int) -> News:
    """Do a job and return its outcome; the traceback of a defect is logged."""
    try:
        return "done", do(job)
    except Exception as error:
        what = "full" if disk_full(error) else "refused" if isinstance(error, InputError) else "failed"
        if what == "failed":
            logging.getLogger(__name__).exception("job %d failed", job)
        return what, " ".join(f"{type(error).__name__}: {error}".split())
