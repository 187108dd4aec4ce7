"""Work in portions that fit into memory; portions are halved when memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from recon.encoders.base import Portioned

FEWEST_FRAMES = 16
"""Below this many frames a pass is mostly context."""
CPU_MESSAGE = "can't allocate memory"
"""Torch's message on the CPU, where it has no exception class for lack of memory."""


@dataclass
class Portions:
    """Size of a portion: `samples` of the batch and `frames` of the movie (0: all). It never grows."""

    samples: int = 0
    frames: int = 0

    def shrink(self, batch: int, frames: int) -> bool:
        """Halve the samples, then the frames; return False if neither can be halved."""
        samples = self.samples or batch
        if samples > 1:
            self.samples = math.ceil(samples / 2)
            return True
        seen = self.frames or frames
        if seen > FEWEST_FRAMES:
            self.frames = max(math.ceil(seen / 2), FEWEST_FRAMES)
            return True
        return False

    def limit(self, samples: int, frames: int) -> None:
        """Bound the portions (0: no bound): a resumed run works in those of its interrupted part."""
        self.samples = min(filter(None, (self.samples, samples)), default=0)
        self.frames = min(filter(None, (self.frames, frames)), default=0)


class BatchedProblem(Protocol):
    """A problem with observations, a meter and a method for subsets of its samples."""

    @property
    def portions(self) -> Portions:
        """Size of a portion."""
        ...

    @property
    def meter(self) -> Any:
        """Counter of frames, attribute `frames`."""
        ...

    @property
    def observations(self) -> Any:
        """Records with an `encoder`."""
        ...

    def sample(self, index: Tensor) -> Self:
        """Return the problem of some samples."""
        ...


P = TypeVar("P", bound=BatchedProblem)


def in_portions(problem: P, movie: Tensor, work: Callable[[P, Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return `work(problem, movie)` for a movie `[B,…]`, computed in portions of the batch that fit into memory.

    Samples are independent, so the results `[b,…]` of portions are joined along the batch. When memory runs out, first
    the encoders' windows per pass, then samples, then frames are halved, and the work restarts.
    """
    while True:
        counted = problem.meter.frames
        results = _attempt(problem, movie, work)
        if results is not None:
            return tuple(parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*results, strict=True))
        # Outside the handler, whose traceback still holds the tensors of the failed attempt.
        problem.meter.frames = counted
        _shrink(problem, movie)


def _attempt(
    problem: P, movie: Tensor, work: Callable[[P, Tensor], tuple[Tensor, ...]]
) -> list[tuple[Tensor, ...]] | None:
    try:
        return [work(part, piece) for part, piece in _cut(problem, movie)]
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if CPU_MESSAGE not in str(error):
            raise
        return None


def _cut(problem: P, movie: Tensor) -> Iterator[tuple[P, Tensor]]:
    samples = problem.portions.samples
    if samples == 0 or samples >= len(movie):
        yield problem, movie
        return
    for index in torch.split(torch.arange(len(movie), device=movie.device), samples):
        yield problem.sample(index), movie[index]


def _shrink(problem: BatchedProblem, movie: Tensor) -> None:
    if movie.is_cuda:
        torch.cuda.empty_cache()
    for observation in problem.observations:
        if isinstance(observation.encoder, Portioned) and observation.encoder.fewer_windows():
            return
    if not problem.portions.shrink(len(movie), movie.shape[2]):
        raise MemoryError(
            f"memory: expected room for one sample of {FEWEST_FRAMES} frames at once, got none; "
            "close other programs, or take fewer neurons, a smaller encoder or a larger device"
        )
