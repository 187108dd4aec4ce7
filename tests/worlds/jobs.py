"""Jobs for tests of processes; the job number determines the outcome."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from recon.errors import InputError

FINE, DIES_ONCE, DIES, REFUSES, BREAKS = 0, 10, 11, 12, 13


class Jobs:
    """Runs a job; every attempt leaves a marker file in a folder."""

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
    """Exit before any job runs."""
    sys.exit(3)


class Full(Jobs):
    """Fails because the disk is full."""

    def __call__(self, job: int) -> str:
        raise OSError(28, "No space left on device")


class Nothing:
    """Returns an empty result."""

    def __call__(self, job: int) -> str:
        return ""


class Busy:
    """Computes for a number of seconds of CPU time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, job: int) -> str:
        began = time.process_time()
        while time.process_time() - began < self.seconds:
            sum(range(100_000))
        return "busy"
