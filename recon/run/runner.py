"""The runner: stopping, counting, logging and saving, the same for every method."""

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
from recon.run.checkpoint import (
    BrokenCheckpointError,
    Checkpoint,
    Counter,
    Progress,
    load_checkpoint,
    save_checkpoint,
)
from recon.run.clock import synchronise
from recon.run.divergence import ending, hold_diverged, summary
from recon.run.identity import identity
from recon.types import Iterate, Reconstruction, Trace

SHARE_SPENT_WORKING = 20
"""Least ratio of working time to the time that writing a checkpoint takes."""


@dataclass(frozen=True)
class Budget:
    """Limits of a run: seconds, encoder evaluations, iterations."""

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
    """Run a method to its end or its budget and return the movie `[B,C,T,H,W]`, its terms and its cost.

    With `checkpoint`, the state is saved every `every` seconds (later where saving is slow) and at an interrupt. A run
    resumes from its own checkpoint and ends with the result of an uninterrupted one. A damaged checkpoint is ignored;
    the checkpoint of another method, problem, seed or code is an InputError. A sample that is no longer finite ends
    with status "diverged" and its last finite movie; the others of the batch continue.
    """
    generator = torch.Generator().manual_seed(seed)
    progress, state, counter = Progress(), None, Counter(problem)
    kept = None if checkpoint is None else Checkpoint(checkpoint, identity(method, problem, seed))
    if kept is not None and kept.path.exists():
        try:
            progress, state = load_checkpoint(kept, device=problem.device)
            counter = Counter(problem, *progress.counts)
            generator.set_state(progress.random)
        except BrokenCheckpointError:
            pass
    try:
        watch = _Watch(trace, kept, every, budget or Budget(), generator)
        status, message = _drive(method(problem, generator, state), progress, counter, watch)
    except (KeyboardInterrupt, SystemExit):
        save_checkpoint(kept, progress)
        raise
    if progress.last is None:
        raise InputError("method: expected at least one iterate, got none; allow at least one iteration")
    return _result(progress, progress.last, counter, status=status, message=message)


def _result(progress: Progress, last: Iterate, counter: Counter, *, status: str, message: str) -> Reconstruction:
    count = len(last.movie)
    statuses, messages = ending(count, status, message, progress.diverged)
    return Reconstruction(
        last.movie,
        last.terms,
        progress.step,
        counter.evaluations,
        progress.seconds,
        *summary(count, status, message, progress.diverged),
        uncertainty=last.uncertainty,
        denoiser_evaluations=counter.denoiser_evaluations,
        statuses=statuses,
        messages=messages,
    )


@dataclass(frozen=True)
class _Watch:
    trace: Trace | None
    checkpoint: Checkpoint | None
    every: float
    budget: Budget
    generator: torch.Generator


def _drive(iterates: Iterator[Iterate], progress: Progress, counter: Counter, watch: _Watch) -> tuple[str, str]:
    """Pull iterates until the method ends, the budget is spent or every sample has diverged."""
    device = counter.problem.device
    began = _now(device)
    for iterate in iterates:
        now = _now(device)
        progress.seconds += now - began
        kept = hold_diverged(iterate, progress.last, progress.diverged, step=progress.step + 1)
        progress.last, progress.random, progress.counts = kept, watch.generator.get_state(), counter.counts
        if len(progress.diverged) == len(kept.movie):
            return "diverged", ""
        progress.step += 1
        if watch.trace is not None:
            watch.trace(progress.step, kept, _rates(progress, counter))
        if now - progress.saved > max(watch.every, SHARE_SPENT_WORKING * progress.saving):
            save_checkpoint(watch.checkpoint, progress)
        spent = _spent(progress, counter, watch.budget)
        if spent:
            return "budget", f"the budget of {spent} is spent; raise it to go on"
        began = _now(device)
    return "finished", ""


def _now(device: torch.device) -> float:
    """Return the time in seconds once the device has finished its queued work."""
    synchronise(device)
    return time.monotonic()


def _rates(progress: Progress, counter: Counter) -> dict[str, float]:
    per_second = counter.evaluations / max(progress.seconds, 1e-9)
    return {"evaluations": counter.evaluations, "seconds": progress.seconds, "evaluations_per_second": per_second}


def _spent(progress: Progress, counter: Counter, budget: Budget) -> str:
    if progress.step >= budget.iterations:
        return f"{budget.iterations:g} iterations"
    if counter.evaluations >= budget.evaluations:
        return f"{budget.evaluations:g} evaluations"
    return f"{budget.seconds:g} seconds" if progress.seconds >= budget.seconds else ""
