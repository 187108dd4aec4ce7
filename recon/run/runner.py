"""The runner: stopping, counting, logging and saving, the same for every method."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from recon.errors import InputError
from recon.files.sealed import DamagedFileError
from recon.methods.base import Method
from recon.problem.problem import Problem
from recon.run.checkpoint import (
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
    resumes from its own checkpoint, shows the trace its last iterate again, and ends with the result of an
    uninterrupted one. A damaged checkpoint is ignored, with a warning; one of another method, problem, seed or code is
    an InputError. A sample that is no longer finite ends with status "diverged" and its last finite movie; the others
    of the batch continue.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = None if checkpoint is None else Checkpoint(checkpoint, identity(method, problem, seed))
    progress = _resumed(kept, problem, generator)
    run = _Run(Counter(problem, *progress.counts), generator, progress, trace, kept, every, budget or Budget())
    state = progress.last.state if progress.last else None
    try:
        status, message = _drive(method(problem, generator, state), run)
    except (KeyboardInterrupt, SystemExit):
        run.save()
        raise
    if run.progress.last is None:
        raise InputError("method: expected at least one iterate, got none; allow at least one iteration")
    return _result(run.progress, run.progress.last, run.counter, status=status, message=message)


def _resumed(kept: Checkpoint | None, problem: Problem, generator: torch.Generator) -> Progress:
    """Return the progress in a checkpoint, with the generator and the portions of memory as they were then."""
    if kept is None or not kept.path.exists():
        return Progress()
    try:
        progress = load_checkpoint(kept, device=problem.device)
    except DamagedFileError as error:
        logging.getLogger(__name__).warning("damaged: %s; the run begins anew", error)
        return Progress()
    generator.set_state(progress.random)
    problem.portions.limit(*progress.portions)
    return progress


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


@dataclass
class _Run:
    """A run in progress, its observers and its limits."""

    counter: Counter
    generator: torch.Generator
    progress: Progress
    trace: Trace | None
    checkpoint: Checkpoint | None
    every: float
    budget: Budget
    saved: float = field(default_factory=lambda: time.monotonic())
    saving: float = 0.0

    def after(self, iterate: Iterate, *, seconds: float) -> Progress:
        """Return the progress after one more iterate that took `seconds`."""
        before, portions = self.progress, self.counter.problem.portions
        diverged = dict(before.diverged)
        held = hold_diverged(iterate, before.last, diverged, step=before.step + 1)
        return Progress(
            before.step + (len(diverged) < len(held.movie)),
            before.seconds + seconds,
            held,
            diverged,
            self.generator.get_state(),
            self.counter.counts,
            (portions.samples, portions.frames),
        )

    def show(self, progress: Progress) -> None:
        """Give the last iterate to the trace."""
        if self.trace is not None and progress.last is not None and not progress.all_diverged:
            self.trace(progress.step, progress.last, _rates(progress, self.counter))

    def save(self) -> None:
        """Write the checkpoint and time it."""
        began = time.monotonic()
        save_checkpoint(self.checkpoint, self.progress)
        self.saved = time.monotonic()
        self.saving = self.saved - began

    @property
    def ending(self) -> tuple[str, str] | None:
        """Status and message of a run that goes no further; None before."""
        if self.progress.all_diverged:
            return "diverged", ""
        spent = _spent(self.progress, self.counter, self.budget) if self.progress.last else ""
        return ("budget", f"the budget of {spent} is spent; raise it to go on") if spent else None


def _drive(iterates: Iterator[Iterate], run: _Run) -> tuple[str, str]:
    """Pull iterates until the method ends, the budget is spent or every sample has diverged.

    An iterate counts once the trace has seen it: a run interrupted before shows it again.
    """
    device = run.counter.problem.device
    run.show(run.progress)
    while run.ending is None:
        began = _now(device)
        iterate = next(iterates, None)
        if iterate is None:
            return "finished", ""
        now = _now(device)
        progress = run.after(iterate, seconds=now - began)
        run.show(progress)
        run.progress = progress
        if now - run.saved > max(run.every, SHARE_SPENT_WORKING * run.saving):
            run.save()
    return run.ending


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
