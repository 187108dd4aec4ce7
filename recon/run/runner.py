"""The runner: owns stopping, counting, logging and saving, so that every method is measured in the same way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from recon.errors import InputError
from recon.methods.base import Method
from recon.problem.problem import Problem
from recon.run.checkpoint import BrokenCheckpointError, Counter, Progress, load_checkpoint, save_checkpoint
from recon.types import Iterate, Reconstruction, Trace

SHARE_SPENT_WORKING = 20
"""A checkpoint that took a second to write is followed by this many seconds of work at least."""


@dataclass(frozen=True)
class Budget:
    """Where a run ends at the latest: seconds, encoder evaluations, iterations."""

    seconds: float = math.inf
    evaluations: float = math.inf
    iterations: float = math.inf


def reconstruct(
    method: Method,
    problem: Problem,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    trace: Trace | None = None,
    checkpoint: Path | None = None,
    every: float = 20.0,
) -> Reconstruction:
    """Run a method to its end or its budget and return the movie `[B,C,T,H,W]` with what it cost.

    With `checkpoint` the state is saved every `every` seconds (later where saving is slow) and at an interrupt, and
    taken up again if the file is there; the end result is that of an uninterrupted run. From a file that is not as it
    was written nothing is taken: the run begins anew. A non-finite iterate ends
    the run with status "diverged" and the last finite movie. Raises what the method raises on bad input.
    """
    generator = torch.Generator().manual_seed(seed)
    progress, state = Progress(), None
    counter = Counter(problem)
    if checkpoint is not None and checkpoint.exists():
        try:
            progress, state, counts = load_checkpoint(checkpoint, generator, device=problem.device)
            counter = Counter(problem, *counts)
        except BrokenCheckpointError:
            generator.manual_seed(seed)
    try:
        watch = _Watch(trace, checkpoint, every, budget or Budget(), generator)
        status, message = _drive(method(problem, generator, state), progress, counter, watch)
    except (KeyboardInterrupt, SystemExit):
        save_checkpoint(checkpoint, progress, counter, generator)
        raise
    if progress.last is None:
        raise InputError("method: expected at least one iterate, got none; allow at least one iteration")
    last, spent = progress.last, (progress.step, counter.evaluations, progress.seconds)
    return Reconstruction(
        last.movie,
        last.terms,
        *spent,
        status,
        message,
        last.uncertainty,
        denoiser_evaluations=counter.denoiser_evaluations,
    )


@dataclass(frozen=True)
class _Watch:
    trace: Trace | None
    checkpoint: Path | None
    every: float
    budget: Budget
    generator: torch.Generator


def _drive(iterates: Iterator[Iterate], progress: Progress, counter: Counter, watch: _Watch) -> tuple[str, str]:
    """Pull iterates until the method ends, the budget is spent or a value is not finite."""
    began = time.monotonic()
    for iterate in iterates:
        now = time.monotonic()
        progress.seconds, began = progress.seconds + now - began, now
        broken = not_finite(iterate)
        if broken:
            progress.last = progress.last or _blank(iterate)
            step = progress.step + 1
            return "diverged", f"{broken} is not finite at iterate {step}; lower the step or raise the prior"
        progress.step, progress.last = progress.step + 1, iterate
        if watch.trace is not None:
            watch.trace(progress.step, iterate, _rates(progress, counter))
        if now - progress.saved > max(watch.every, SHARE_SPENT_WORKING * progress.saving):
            save_checkpoint(watch.checkpoint, progress, counter, watch.generator)
        spent = _spent(progress, counter, watch.budget)
        if spent:
            return "budget", f"the budget of {spent} is spent; raise it to go on"
        began = time.monotonic()
    return "finished", ""


def not_finite(iterate: Iterate) -> str:
    """Return the name of what is not finite in an iterate, or nothing."""
    values = {"movie": iterate.movie, **iterate.terms}
    return next((name for name, value in values.items() if not bool(torch.isfinite(value).all())), "")


def _blank(iterate: Iterate) -> Iterate:
    grey = torch.full_like(iterate.movie, 0.5)
    return Iterate(grey, {name: torch.full_like(value, torch.nan) for name, value in iterate.terms.items()})


def _rates(progress: Progress, counter: Counter) -> dict[str, float]:
    per_second = counter.evaluations / max(progress.seconds, 1e-9)
    return {"evaluations": counter.evaluations, "seconds": progress.seconds, "evaluations_per_second": per_second}


def _spent(progress: Progress, counter: Counter, budget: Budget) -> str:
    if progress.step >= budget.iterations:
        return f"{budget.iterations:g} iterations"
    if counter.evaluations >= budget.evaluations:
        return f"{budget.evaluations:g} evaluations"
    return f"{budget.seconds:g} seconds" if progress.seconds >= budget.seconds else ""
