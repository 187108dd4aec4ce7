"""The time of a part: no new case after 220 s, and a case that is still running is interrupted after 235 s."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

LAST_START, LAST_END = 220.0, 235.0


class OutOfTimeError(Exception):
    """A case was still running when its part had to end."""


@dataclass(frozen=True)
class Budget:
    """Seconds from `began`, by `clock`, after which no case starts (`last_start`) and a running one is interrupted."""

    last_start: float = LAST_START
    last_end: float = LAST_END
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Return seconds since the part began."""
        return self.clock() - self.began

    def may_start(self) -> bool:
        """Return whether another case may start."""
        return self.spent < self.last_start

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise OutOfTimeError in what runs here once `last_end` has come; a CUDA kernel ends first.

        Only the main thread can be interrupted; elsewhere nothing is enforced. A timer that ran before goes on after.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        known, (left, _) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
        started = time.monotonic()
        signal.signal(signal.SIGALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, max(self.last_end - self.spent, 1e-3))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, known)
            if left:
                signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3))

    def _interrupt(self, number: int, frame: Any) -> None:
        raise OutOfTimeError(f"interrupted after {self.spent:.0f} s: the part's time was over")
