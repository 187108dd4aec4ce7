"""Memory that runs out: portions are halved and the result stays the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon.encoders.base import Encoder
from recon.problem.memory import FEWEST_FRAMES, Portions
from recon.problem.problem import Observation, Problem
from recon.problem.subclips import subclip_gradients


class Hungry(Encoder):
    """An encoder that runs out of memory above so many samples × frames, as a device would."""

    def __init__(self, inner: Encoder, room: int, error: Exception) -> None:
        super().__init__()
        self.inner, self.room, self.error, self.spec = inner, room, error, inner.spec

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        if movie.shape[0] * movie.shape[2] > self.room:
            raise self.error
        rates: Tensor = self.inner(movie, behavior)
        return rates


class Windowed(Hungry):
    """One that runs windows of its own."""

    windows = 8

    def fewer_windows(self) -> bool:
        self.windows //= 2
        self.room *= 2
        return self.windows > 1


def hungry(problem: Problem, room: int, error: Exception, kind: type[Hungry] = Hungry) -> Problem:
    seen = problem.observations[0]
    encoder = kind(seen.encoder, room, error)
    return replace(problem, observations=(Observation(encoder, seen.measurement),), portions=Portions())


CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
CUDA = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("error", [CPU, CUDA], ids=["cpu", "cuda"])
@pytest.mark.parametrize("room", [9 * worlds.FRAMES, 3 * worlds.FRAMES, worlds.FRAMES])
def test_halved_portions_give_what_one_pass_gives(room: int, error: Exception) -> None:
    whole, movie = worlds.problem(5), worlds.movies(5, seed=3)
    parts = hungry(whole, room, error)
    torch.testing.assert_close(parts.value_and_gradient(movie), whole.value_and_gradient(movie))
    torch.testing.assert_close(parts.energy(movie), whole.energy(movie))
    torch.testing.assert_close(parts.selection_misfit(movie), whole.selection_misfit(movie))


def test_frames_are_halved_when_one_sample_is_too_much() -> None:
    frames = 3 * FEWEST_FRAMES
    movie, measured = worlds.movies(1, seed=3, frames=frames), worlds.movies(1, seed=5, frames=frames)
    observation = Observation(worlds.encoder(), worlds.measurement(measured))
    whole = Problem(worlds.problem().fidelity, (observation,))
    parts = hungry(whole, 2 * FEWEST_FRAMES, CUDA)
    for ours, theirs in zip(parts.value_and_gradient(movie), whole.value_and_gradient(movie), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert 0 < parts.frames_at_once < frames


def test_frames_are_counted_once() -> None:
    parts, movie = hungry(worlds.problem(4), 2 * worlds.FRAMES, CUDA), worlds.movies(4, seed=3)
    parts.value_and_gradient(movie)
    assert parts.meter.frames == 4 * worlds.FRAMES


def test_an_encoders_own_windows_go_first() -> None:
    parts = hungry(worlds.problem(4), worlds.FRAMES, CUDA, Windowed)
    parts.energy(worlds.movies(4, seed=3))
    assert parts.portions == Portions() and isinstance(parts.observations[0].encoder, Windowed)
    assert parts.observations[0].encoder.windows == 2


def test_sub_clips_are_portioned_too() -> None:
    whole, movie, spans = worlds.problem(3), worlds.movies(3, seed=3), [(0, 8), (4, 12)]
    parts = hungry(whole, 8, CUDA)
    ours = list(subclip_gradients(parts, movie, spans, observation=0, separable=False))
    theirs = list(subclip_gradients(whole, movie, spans, observation=0, separable=False))
    for (span, *mine), (other, *yours) in zip(ours, theirs, strict=True):
        assert span == other
        torch.testing.assert_close(mine, yours)


def test_no_room_at_all_is_one_clear_error() -> None:
    with pytest.raises(MemoryError, match="expected room for one sample"):
        hungry(worlds.problem(2), 1, CUDA).energy(worlds.movies(2))


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        hungry(worlds.problem(2), 1, RuntimeError("something else")).energy(worlds.movies(2))
