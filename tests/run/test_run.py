"""The runner: budgets, divergence, checkpoints, counting."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.methods import Gradient
from recon.methods.optimise.first_order import Adam
from recon.problem.problem import Problem
from recon.run.runner import Budget, reconstruct
from recon.types import Iterate

METHOD = Gradient(iterations=6, optimiser=Adam(0.02))


@dataclass(frozen=True)
class Breaking:
    """Yields one good movie and then one that is not finite."""

    good: int = 1

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        for step in range(self.good + 1):
            movie = torch.full(problem.shape, 0.25 if step < self.good else torch.nan)
            yield Iterate(movie, {"misfit": torch.zeros(problem.shape[0])}, {})


def test_a_diverged_run_is_a_result_with_the_last_finite_movie() -> None:
    result = reconstruct(Breaking(1), worlds.problem())
    assert result.status == "diverged"
    assert "movie is not finite at iterate 2" in result.message
    assert float(result.movie.mean()) == 0.25


def test_a_run_that_diverges_at_once_gives_grey_and_undefined_terms() -> None:
    result = reconstruct(Breaking(0), worlds.problem())
    assert result.status == "diverged"
    assert float(result.movie.mean()) == 0.5
    assert bool(torch.isnan(result.terms["misfit"]).all())


@pytest.mark.parametrize(
    "budget, steps", [(Budget(iterations=2), 2), (Budget(evaluations=3), 3), (Budget(seconds=0), 1)]
)
def test_budgets_end_a_run_and_say_so(budget: Budget, steps: int) -> None:
    result = reconstruct(METHOD, worlds.problem(), budget=budget)
    assert (result.status, result.iterations) == ("budget", steps)
    assert "raise it" in result.message


def test_evaluations_count_frames_over_clip_length() -> None:
    whole = reconstruct(METHOD, worlds.problem())
    windowed = reconstruct(METHOD, worlds.problem(window=4))
    assert whole.evaluations == 6
    overlap = (2 + 2) / worlds.FRAMES
    assert windowed.evaluations == pytest.approx(6 * 2 * (1 + overlap))


def test_the_trace_sees_every_iterate() -> None:
    seen: list[tuple[int, float]] = []
    reconstruct(METHOD, worlds.problem(), trace=lambda step, iterate, rates: seen.append((step, rates["evaluations"])))
    assert seen == [(i, float(i)) for i in range(1, 7)]


def test_checkpoints_are_written_while_running(tmp_path: Path) -> None:
    checkpoint = tmp_path / "deep" / "state.safetensors"
    reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint, every=0.0)
    assert checkpoint.exists()
    assert not list(checkpoint.parent.glob("*.writing"))


def test_a_method_that_yields_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one iterate"):
        reconstruct(Gradient(iterations=0), worlds.problem())
