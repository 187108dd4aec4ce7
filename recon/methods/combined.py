"""Methods made of methods: smoothing, weighted means, one reconstruction per encoder or per seed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self, final

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import NonNegative, Seed, Some
from recon.methods.base import Method, fitted, passes_of, planned_iterates
from recon.methods.facts import Passes, Sees, Strength, united
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Around(ABC):
    """A method around another one: it sees what that one sees, learns by it, and yields as many iterates."""

    title: ClassVar[str]
    strength: ClassVar[Strength | None] = None

    method: Method

    @property
    def iterates(self) -> int | None:
        """Those of the method inside."""
        return planned_iterates(self.method)

    @property
    def sees(self) -> Sees:
        """That of the method inside."""
        return self.method.sees

    @property
    def separable(self) -> bool:
        """True if each sample of a batch gives what it gives alone."""
        return self.method.separable

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        return passes_of(self.method)

    def fit(self, training: TrainingSet) -> Self:
        """Fit the method inside."""
        return replace(self, method=fitted(self.method, training))

    @abstractmethod
    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield iterates made of those of the method inside."""


@final
@dataclass(frozen=True)
class Smoothed(Around):
    """Another method's movie after a Gaussian filter of standard deviations `sigma` (frames, pixels down, across).

    The published post-processing is (0.5, 0.5, 0.5). Wider filters score better; widths are chosen on validation clips.
    Borders are mirrored, as in SciPy's `gaussian_filter` with truncation at four standard deviations.
    """

    title: ClassVar[str] = "Gaussian smoothing"

    sigma: tuple[NonNegative, NonNegative, NonNegative] = (0.5, 0.5, 0.5)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield each iterate, smoothed; the inner state is passed on untouched.

        Terms are those of the movie before smoothing, named `unsmoothed_…`.
        """
        for iterate in self.method(problem, generator, state):
            terms = {f"unsmoothed_{name}": value for name, value in iterate.terms.items()}
            yield replace(iterate, movie=gaussian_filter(iterate.movie, self.sigma), terms=terms, uncertainty=None)


@dataclass(frozen=True)
class Average:
    """Weighted mean of several methods' movies; their errors differ, so the mean often beats each of them.

    The methods run in turn and yield their own iterates; only the last iterate is the mean, without terms.
    """

    title: ClassVar[str] = "weighted mean"
    strength: ClassVar[Strength | None] = None

    methods: Mapping[str, Method]
    weights: Mapping[str, NonNegative]

    def __post_init__(self) -> None:
        if set(self.methods) != set(self.weights) or not self.methods:
            names = sorted(self.methods)
            raise InputError(f"average: expected one weight for each of {names}, got {sorted(self.weights)}")
        if not sum(self.weights.values()) > 0:
            raise InputError(f"average: expected weights with a sum above 0, got {dict(self.weights)}; raise one")

    @property
    def iterates(self) -> int | None:
        """Those of all methods and the mean, where each knows its own."""
        each = [planned_iterates(method) for method in self.methods.values()]
        known = [count for count in each if count is not None]
        return sum(known) + 1 if len(known) == len(each) else None

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return united(*(method.sees for name, method in self.methods.items() if self.weights[name]))

    @property
    def separable(self) -> bool:
        """True if each sample of a batch gives what it gives alone."""
        return all(method.separable for method in self.methods.values())

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        return sum(map(passes_of, self.methods.values()), Passes())

    def fit(self, training: TrainingSet) -> Average:
        """Fit every inner method."""
        return replace(self, methods={name: fitted(method, training) for name, method in self.methods.items()})

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the iterates of every method in turn, then the mean."""
        parts = [(method, problem, self.weights[name]) for name, method in self.methods.items()]
        yield from _in_turn(parts, generator, state)


@final
@dataclass(frozen=True)
class ReconstructionEnsemble(Around):
    """One reconstruction per encoder of the problem, averaged (reconstruction ensembling, Bauer et al. 2026)."""

    title: ClassVar[str] = "mean over encoders"

    @property
    def sees(self) -> Sees:
        """What decides the movie."""
        return self.method.sees | Sees(animals=self.method.sees.responses)

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the iterates for each encoder in turn, then the mean."""
        parts = [(self.method, problem.alone(i), 1.0) for i in range(len(problem.observations))]
        yield from _in_turn(parts, generator, state)


@final
@dataclass(frozen=True)
class DeepEnsemble(Around):
    """Mean of one method learnt once with each of `seeds` (Lakshminarayanan et al. 2017).

    Artefacts are shared with rows that use the method alone with these seeds.
    """

    title: ClassVar[str] = "mean over seeds"

    seeds: Annotated[tuple[Seed, ...], Some] = (0, 1, 2)
    members: tuple[Method, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"deep_ensemble: expected different seeds, got {self.seeds}; leave out the repeats")

    @property
    def iterates(self) -> int | None:
        """Those of all members."""
        inner = planned_iterates(self.method)
        return None if inner is None else inner * len(self.seeds)

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        return passes_of(self.method) * len(self.seeds)

    def fit(self, training: TrainingSet) -> DeepEnsemble:
        """Learn the inner method with every seed."""
        members = (fitted(self.method, replace(training, seed=seed)) for seed in self.seeds)
        return replace(self, members=tuple(members))

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the iterates of every member in turn, then the mean."""
        yield from _in_turn([(member, problem, 1.0) for member in self.members], generator, state)


def _in_turn(
    parts: list[tuple[Method, Problem, float]], generator: torch.Generator, state: State | None
) -> Iterator[Iterate]:
    """Run the parts in turn and sum weighted movies; the running part's state has the prefix "inner."."""
    state = dict(state or {})
    first = int(state.get("part", torch.zeros(1, dtype=torch.long)))
    total = state.get("total", torch.zeros(1, device=parts[0][1].device))
    weights = sum(weight for _, _, weight in parts)
    inner = {key[6:]: value for key, value in state.items() if key.startswith("inner.")}
    for index in range(first, len(parts)):
        method, problem, weight = parts[index]
        movie = state.get("movie") if inner else None
        for iterate in method(problem, generator, inner or None):
            movie = iterate.movie
            kept = {"part": torch.tensor([index]), "total": total, "movie": movie}
            kept |= {f"inner.{key}": value for key, value in iterate.state.items()}
            yield replace(iterate, uncertainty=None, state=kept)
        if movie is None:
            raise InputError("ensemble: expected at least one iterate from each method, got none; allow an iteration")
        total, inner = total + movie * (weight / weights), {}
        last = index == len(parts) - 1
        if last:
            yield Iterate(total, {}, {"part": torch.tensor([index + 1]), "total": total})


def gaussian_filter(movie: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """Return the movie `[B,C,T,H,W]` after a Gaussian filter along (t, y, x) with mirrored borders."""
    for axis, width in zip((2, 3, 4), sigma, strict=True):
        if width > 0:
            movie = _filter_axis(movie, width, axis)
    return movie


def _filter_axis(movie: Tensor, width: float, axis: int) -> Tensor:
    size = movie.shape[axis]
    reach = max(int(4 * width + 0.5), 1)
    offsets = torch.arange(-reach, reach + 1, device=movie.device)
    kernel = torch.exp(-0.5 * (offsets / width) ** 2) / (width * math.sqrt(2 * math.pi))
    index = (torch.arange(size, device=movie.device)[:, None] + offsets) % (2 * size)
    index = torch.where(index < size, index, 2 * size - 1 - index)
    matrix = torch.zeros(size, size, device=movie.device, dtype=movie.dtype)
    matrix.scatter_add_(1, index, (kernel / kernel.sum()).to(movie.dtype).expand(size, -1))
    return (movie.transpose(axis, -1) @ matrix.T).transpose(axis, -1)
