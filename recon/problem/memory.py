"""Work in portions that fit into memory: when it runs out, they are halved and the work goes on."""

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
"""What torch says on the CPU, where it has no exception of its own for it."""


@dataclass
class Portions:
    """What is computed at once: `samples` of the batch and `frames` of the movie (0: all). Shrinks, never grows."""

    samples: int = 0
    frames: int = 0

    def shrink(self, batch: int, frames: int) -> bool:
        """Halve the samples, then the frames; return False where nothing is left to halve."""
        samples = self.samples or batch
        if samples > 1:
            self.samples = math.ceil(samples / 2)
            return True
        seen = self.frames or frames
        if seen > FEWEST_FRAMES:
            self.frames = max(math.ceil(seen / 2), FEWEST_FRAMES)
            return True
        return False


class BatchedProblem(Protocol):
    """A problem: it has observations with encoders, a meter, and can be cut to some of its samples."""

    @property
    def portions(self) -> Portions:
        """What is computed at once."""
        ...

    @property
    def meter(self) -> Any:
        """Counts frames in its attribute `frames`."""
        ...

    @property
    def observations(self) -> Any:
        """Each has an `encoder`."""
        ...

    def sample(self, index: Tensor) -> Self:
        """Return the problem of some samples."""
        ...


P = TypeVar("P", bound=BatchedProblem)


def in_portions(problem: P, movie: Tensor, work: Callable[[P, Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return what `work` gives of the problem and its movie `[B,…]`, in portions of the batch that fit into memory.

    Samples never influence each other, so the portions' results `[b,…]` are joined along the batch. When memory runs
    out, encoders that see windows take fewer at once, then samples, then frames are halved, and the work starts again.
    """
    while True:
        counted = problem.meter.frames
        results = _attempt(problem, movie, work)
        if results is not None:
            return tuple(parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*results, strict=True))
        # Outside the handler: there the failed attempt's tensors would still be held by its traceback.
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
