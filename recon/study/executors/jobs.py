"""Jobs that are done once: how often each was tried, and what became of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from recon.errors import InputError
from recon.files import disk_full

ATTEMPTS = 3
"""A job that has died as often is given up; bad input fails the first time."""

Do = Callable[[int], str]
"""Does a job, named by its number, and says what came out."""
News = tuple[str, str]
"""What became of a job (done, failed, refused, full, or ended with its process), and the words for it."""


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job after so many `attempts`: a line that tells its result, or why it was given up."""

    job: int
    line: str = ""
    error: str = ""
    attempts: int = 1


@dataclass
class Ledger:
    """Jobs that wait, in their order, how often those under way were begun, and how many are not settled."""

    waiting: deque[int]
    left: int
    attempts: dict[int, int] = field(default_factory=dict)

    def begin(self) -> int:
        """Take the next job."""
        job = self.waiting.popleft()
        self.attempts[job] = self.attempts.get(job, 0) + 1
        return job

    def settled(self, heard: Iterable[tuple[int, News]]) -> Iterator[JobOutcome]:
        """Yield the outcomes of jobs that are not tried again.

        One that refused its input is not. Raises OSError where the disk is full: so it is for all.
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


def done(do: Do, job: int) -> News:
    """Do a job and say what became of it."""
    try:
        return "done", do(job)
    except Exception as error:
        what = "full" if disk_full(error) else "refused" if isinstance(error, InputError) else "failed"
        return what, " ".join(f"{type(error).__name__}: {error}".split())
