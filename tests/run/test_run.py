"""The runner: budgets, divergence, checkpoints, counting."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from worlds import linear as worlds

from recon.errors import InputError
from recon.methods import Gradient, PlugAndPlay, fitted
from recon.methods.base import last_iterate
from recon.methods.optimise.first_order import Adam
from recon.problem.problem import Problem
from recon.run.clock import synchronise
from recon.run.divergence import hold_diverged
from recon.run.runner import Budget, reconstruct
from recon.types import Iterate, Reconstruction, Uncertainty

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
    "budget, steps", [(Budget(iterations=2), 2), (Budget(evaluations=3), 2), (Budget(seconds=0), 1)]
)
def test_budgets_end_a_run_and_say_so(budget: Budget, steps: int) -> None:
    result = reconstruct(METHOD, worlds.problem(), budget=budget)
    assert (result.status, result.iterations) == ("budget", steps)
    assert "raise it" in result.message


def test_evaluations_count_frames_over_clip_length() -> None:
    whole = reconstruct(METHOD, worlds.problem())
    windowed = reconstruct(METHOD, worlds.problem(window=4))
    assert whole.evaluations == 7
    overlap = (2 + 2) / worlds.FRAMES
    assert windowed.evaluations == pytest.approx(7 * 2 * (1 + overlap))


def test_the_trace_sees_every_iterate() -> None:
    seen: list[tuple[int, float]] = []
    reconstruct(METHOD, worlds.problem(), trace=lambda step, iterate, rates: seen.append((step, rates["evaluations"])))
    assert seen == [(i, float(i + 1)) for i in range(1, 7)]


def test_checkpoints_are_written_while_running(tmp_path: Path) -> None:
    checkpoint = tmp_path / "deep" / "state.safetensors"
    reconstruct(METHOD, worlds.problem(), checkpoint=checkpoint, every=0.0)
    assert checkpoint.exists()
    assert not list(checkpoint.parent.glob("*.writing"))


def test_a_method_that_yields_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one iterate"):
        reconstruct(Gradient(iterations=0), worlds.problem())


@dataclass(frozen=True)
class Queueing:
    """Queues work on a device and returns at once, as kernels do: `wait` is how long the work takes."""

    queue: list[float]
    wait: float = 0.05

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        for _ in range(3):
            self.queue.append(self.wait)
            yield Iterate(torch.full(problem.shape, 0.5), {"misfit": torch.zeros(problem.shape[0])})


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of work that a device has to do; the runner's clock goes on only while it waits for the device."""
    waiting: list[float] = []
    now = [100.0]

    def work_off(device: torch.device) -> None:
        assert device == torch.device("cpu")
        now[0] += sum(waiting)
        waiting.clear()

    monkeypatch.setattr("recon.run.runner.synchronise", work_off)
    monkeypatch.setattr("recon.run.runner.time", SimpleNamespace(monotonic=lambda: now[0]))
    return waiting


def test_seconds_include_work_that_the_device_has_not_finished(queue: list[float]) -> None:
    assert reconstruct(Queueing(queue), worlds.problem()).seconds == pytest.approx(3 * 0.05)


def test_traces_do_not_count_as_seconds(queue: list[float]) -> None:
    result = reconstruct(Queueing([]), worlds.problem(), trace=lambda step, iterate, rates: queue.append(0.2))
    assert result.seconds == 0


def test_a_cpu_has_nothing_to_wait_for() -> None:
    synchronise(torch.device("cpu"))


@dataclass(frozen=True)
class Diverging:
    """Yields `steps` movies; sample i is not finite at the iterates from `since[i]` on, once, or only in a term."""

    since: tuple[int, ...]
    steps: int = 6
    term: bool = False

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        first = int(state["step"]) + 1 if state else 1
        for step in range(first, self.steps + 1):
            movie, misfit = torch.full(problem.shape, step / 10), torch.full((problem.shape[0],), float(step))
            for sample, since in enumerate(self.since):
                if step == since:
                    (misfit if self.term else movie)[sample] = torch.nan
            yield Iterate(movie, {"misfit": misfit}, {"step": torch.tensor([step])})


@pytest.mark.parametrize("term", [False, True])
def test_a_diverging_sample_ends_alone(term: bool) -> None:
    """It keeps its last finite movie and terms, also where later values are finite again."""
    result = reconstruct(Diverging((99, 3, 1), term=term), worlds.problem(3))
    assert result.movie.flatten(1).mean(1).tolist() == pytest.approx([0.6, 0.2, 0.5])
    assert result.terms["misfit"][:2].tolist() == [6, 2] and bool(result.terms["misfit"][2].isnan())
    assert result.statuses == ("finished", "diverged", "diverged")
    name = "misfit" if term else "movie"
    assert result.messages[0] == "" and f"{name} is not finite at iterate 3; lower" in result.messages[1]
    assert result.iterations == 6 and result.status == "finished"
    assert result.message.startswith("2 of 3 samples diverged: ")
    assert [result.ending(i)[0] for i in range(3)] == list(result.statuses)


def test_a_run_ends_when_all_samples_have_diverged() -> None:
    result = reconstruct(Diverging((4, 2)), worlds.problem())
    assert result.status == "diverged" and result.statuses == ("diverged", "diverged") and result.iterations == 3
    assert result.movie.flatten(1).mean(1).tolist() == pytest.approx([0.3, 0.1])
    assert "iterate 2" in result.message and "iterate 4" in result.message


def test_a_diverged_sample_survives_a_checkpoint(tmp_path: Path) -> None:
    method, checkpoint = Diverging((99, 2)), tmp_path / "state.safetensors"
    resumed = interrupted(method, checkpoint, at=4)
    whole = reconstruct(method, worlds.problem())
    assert torch.equal(resumed.movie, whole.movie) and resumed.statuses == whole.statuses == ("finished", "diverged")
    assert resumed.messages == whole.messages and resumed.message == whole.message


def test_the_deviation_of_a_diverged_sample_is_held() -> None:
    good = Iterate(torch.zeros(2, 1, 1, 1, 1), {}, {}, Uncertainty(torch.ones(2, 1, 1, 1, 1), 3))
    bad = replace(good, movie=torch.tensor([0.0, torch.nan]).reshape(2, 1, 1, 1, 1))
    bad = replace(bad, uncertainty=Uncertainty(torch.full((2, 1, 1, 1, 1), 2.0), 4))
    held = hold_diverged(bad, good, {}, step=2).uncertainty
    assert held is not None and held.deviation.flatten().tolist() == [2, 1] and held.draws == 4


def interrupted(method, checkpoint: Path, *, at: int, problem: Problem | None = None) -> Reconstruction:
    """Interrupt a run after iterate `at` and resume it."""

    def interrupt(step: int, iterate: object, rates: object) -> None:
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct(method, problem or worlds.problem(), trace=interrupt, checkpoint=checkpoint)
    return reconstruct(method, problem or worlds.problem(), checkpoint=checkpoint)


class Living(list):
    """Weak references to the movies that a method has yielded."""

    def count(self) -> int:
        return sum(reference() is not None for reference in self)


@dataclass(frozen=True)
class Watched:
    """Yields movies that live as long as somebody keeps them, and notes how many do at the same time."""

    yielded: Living
    most: list[int]

    def __call__(self, problem: Problem, generator: torch.Generator, state=None) -> Iterator[Iterate]:
        for step in range(8):
            movie = torch.full(problem.shape, 0.1 + step / 10)
            self.yielded.append(weakref.ref(movie))
            iterate = Iterate(movie, {"misfit": torch.zeros(len(movie))})
            del movie
            yield iterate
            del iterate
            self.most.append(self.yielded.count())


def test_iterates_are_not_kept_alive(tmp_path: Path) -> None:
    """Whoever wants the last iterate only holds one, whether it asks for it, starts from it or is centred on it."""
    watched, problem, random = Watched(Living(), []), worlds.problem(), torch.Generator()
    last = last_iterate(watched(problem, random))
    assert float(last.movie.mean()) == pytest.approx(0.8) and watched.yielded.count() == 1
    training, spectrum = worlds.training(tmp_path), "spectrum"
    for method in (
        Gradient(iterations=1, start=watched),
        Gradient(iterations=1, parameterisation=spectrum, centre=watched),
        PlugAndPlay(iterations=1, start=watched),
    ):
        list(fitted(method, training)(problem, random))
    reconstruct(watched, problem)
    # One is held here as `last`, one may be the centre.
    assert len(watched.most) >= 5 * 8 and max(watched.most) <= 3


def test_the_last_iterate_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="at least one iterate"):
        last_iterate([])
