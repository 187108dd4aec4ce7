"""Jobs for tests of processes: told by their number what becomes of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from recon.errors import InputError

FINE, DIES_ONCE, DIES, REFUSES, BREAKS = 0, 10, 11, 12, 13


class Jobs:
    """Does a job; each time, it leaves a mark in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, job: int) -> str:
        (self.folder / f"{job}-{time.monotonic_ns()}-{os.getpid()}").touch()
        tries = len(list(self.folder.glob(f"{job}-*")))
        if job == DIES or (job == DIES_ONCE and tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if job == REFUSES:
            raise InputError("expected better input")
        if job == BREAKS:
            raise RuntimeError("broken")
        return f"job {job}"


def never_ready() -> Jobs:
    """End before anything is done."""
    sys.exit(3)


class Full(Jobs):
    """Finds no room."""

    def __call__(self, job: int) -> str:
        raise OSError(28, "No space left on device")


class Nothing:
    """Does a job that is none."""

    def __call__(self, job: int) -> str:
        return ""


class Busy:
    """Computes for a number of seconds of its processor."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, job: int) -> str:
        began = time.process_time()
        while time.process_time() - began < self.seconds:
            sum(range(100_000))
        return "busy"
