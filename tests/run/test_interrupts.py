"""A run that is interrupted at any moment ends as an uninterrupted one: result, counts, budget and trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from worlds import linear as worlds
from worlds.interrupts import interrupt_at, interrupt_at_line, plain

from recon.methods import Gradient
from recon.methods.optimise.first_order import Adam
from recon.problem.problem import Problem
from recon.run import checkpoint as checkpoints
from recon.run import divergence, runner
from recon.run import trace as traces
from recon.run.runner import Budget, reconstruct
from recon.run.trace import GroundTruth, JsonlTrace, read_trace
from recon.types import Iterate

ENGINE = tuple(str(module.__file__) for module in (runner, checkpoints, divergence, traces))


@dataclass(frozen=True)
class Walk:
    """A random walk that evaluates its movie; sample i of the batch diverges at iterate `since[i]`."""

    since: tuple[int, ...] = (99, 99)
    steps: int = 4

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        movie = state["movie"] if state else torch.full(problem.shape, 0.5)
        for step in range(int(state["step"]) + 1 if state else 1, self.steps + 1):
            movie = (movie + 0.01 * torch.randn(movie.shape, generator=generator)).clamp(0, 1)
            misfit = problem.energy(movie)
            for sample, since in enumerate(self.since):
                misfit[sample] = torch.nan if step >= since else misfit[sample]
            yield Iterate(movie, {"misfit": misfit}, {"movie": movie, "step": torch.tensor([step])})


def traced(method: Any, folder: Path, *, every: int = 1, budget: Budget | None = None) -> dict[str, Any]:
    """Run a method with a checkpoint and a trace; return its result and lines without their seconds."""
    truth = GroundTruth(worlds.movies(2, seed=5), metrics=("video_correlation",))
    trace, state = JsonlTrace(folder / "trace.jsonl", every=every, truth=truth), folder / "state.safetensors"
    with closing(trace):
        result = reconstruct(method, worlds.problem(), trace=trace, checkpoint=state, budget=budget)
    trace.close()
    lines = [{key: line[key] for key in line if "second" not in key} for line in read_trace(folder / "trace.jsonl")]
    return plain(result) | {"trace": json.dumps(lines, indent=1)}


FEW, ALL = 12, 10**9
"""Lines at which each case is interrupted: a random few, and in a slow test all."""
CASES: dict[str, tuple[Walk, int, Budget | None]] = {
    "finished": (Walk(), 1, None),
    "of a budget": (Walk(), 1, Budget(iterations=2)),
    "of evaluations": (Walk(), 1, Budget(evaluations=3)),
    "one sample diverges": (Walk((99, 2)), 1, None),
    "all samples diverge": (Walk((2, 3)), 1, None),
    "sparse trace": (Walk(steps=7), 5, None),
}


@pytest.mark.parametrize("most", [FEW, pytest.param(ALL, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_at_any_line_of_the_runner_changes_nothing(name: str, most: int, tmp_path: Path) -> None:
    method, every, budget = CASES[name]
    with interrupt_at_line(0, ENGINE) as lines:
        whole = traced(method, tmp_path / "whole", every=every, budget=budget)
    for number in Random(name).sample(range(1, lines[0] + 1), min(most, lines[0])):
        folder = tmp_path / str(number)
        with interrupt_at_line(number, ENGINE), suppress(KeyboardInterrupt):
            traced(method, folder, every=every, budget=budget)
        found = traced(method, folder, every=every, budget=budget)
        assert found == whole, f"line {number} of {lines[0]}"


def test_a_resumed_run_works_in_the_portions_that_fitted_into_memory(tmp_path: Path) -> None:
    """Sums over other portions round otherwise: a run that was short of memory goes on in its small ones."""
    method, problem, state = Gradient(iterations=4, optimiser=Adam(0.02)), worlds.problem(), tmp_path / "state"
    problem.portions.limit(1, 0)
    with interrupt_at(8), pytest.raises(KeyboardInterrupt):
        reconstruct(method, problem, checkpoint=state)
    again = worlds.problem()
    reconstruct(method, again, checkpoint=state)
    assert (again.portions.samples, again.portions.frames) == (1, 0)
