"""Seconds and memory of work on a device: synchronised before each reading of the clock, after a warm-up."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

MIB = 2**20
PATIENCE = 20.0
"""Seconds after which nothing is repeated."""


def synchronised(device: torch.device) -> float:
    """Return the clock once all work on the device has ended."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return seconds of work, to its end on the device, and what it gives."""
    started = synchronised(device)
    given = work()
    return synchronised(device) - started, given


def repeated(work: Callable[[], Any], device: torch.device, *, warm: int = 2, repeats: int = 5) -> tuple[float, Any]:
    """Return the median seconds of `repeats` runs after `warm` others, and what the last one gave.

    At least one run is measured; after `PATIENCE` seconds no more are.
    """
    began, seconds, given = time.perf_counter(), [], None
    for number in range(warm + repeats):
        taken, given = timed(work, device)
        if number >= warm:
            seconds.append(taken)
        if seconds and time.perf_counter() - began > PATIENCE:
            break
    return statistics.median(seconds), given


def steps(iterates: Iterable[Any], device: torch.device, *, most: float = PATIENCE) -> tuple[list[float], Any]:
    """Return the seconds of every step of an iteration and its last iterate; after `most` seconds it is left."""
    seconds: list[float] = []
    last, running = None, iter(iterates)
    while sum(seconds) < most:
        taken, found = timed(lambda: next(running, None), device)
        if found is None:
            break
        seconds.append(taken)
        last = found
    return seconds, last


def clear(device: torch.device) -> None:
    """Free what no case holds any more and forget the peak of memory."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.init()  # Its memory has no peak to forget before.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> float | str:
    """Return the largest memory of tensors in MiB since `clear`; not measured on a CPU."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else "not measured"


def float32() -> None:
    """Compute float32 products in float32: torch lets convolutions round to tf32 unless it is told not to."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def largest(given: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference, infinite where one is not finite."""
    difference = (given.detach().cpu().double() - expected.detach().cpu().double()).abs().max()
    return float(difference.nan_to_num(nan=torch.inf))


def relative(given: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference over the largest absolute value that is expected."""
    return largest(given, expected) / float(expected.detach().abs().max())


def forever(work: Callable[[], Any]) -> Iterator[Any]:
    """Yield what work gives again and again."""
    while True:
        yield work()
