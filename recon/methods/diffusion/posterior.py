"""Posterior mean and standard deviation from several draws of a sampler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from einops import rearrange, reduce
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count
from recon.methods.base import passes_of
from recon.methods.combined import Around
from recon.methods.facts import Passes
from recon.problem.problem import Problem
from recon.types import Iterate, State, Uncertainty


@final
@dataclass(frozen=True)
class Posterior(Around):
    """Mean and standard deviation per pixel of `draws` parallel draws of a stochastic sampler.

    The calibration of the deviation is that of the sampler: see its bias, and the coverage of its intervals.
    """

    title: ClassVar[str] = "posterior mean of draws"

    draws: Count = 8

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise InputError(f"posterior: expected at least 2 draws, got {self.draws}; raise it")

    @property
    def passes(self) -> Passes:
        """Planned passes over a clip."""
        return passes_of(self.method) * self.draws

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the mean over draws of each iterate; the inner state is passed on untouched.

        Terms are the draws' means, named `draws_…`: the misfit of the mean movie is another number.
        """
        count, batch = self.draws, problem.shape[0]
        each = problem.sample(torch.arange(batch, device=problem.device).repeat_interleave(count))
        for iterate in self.method(each, generator, state):
            drawn = rearrange(iterate.movie, "(b draw) c t h w -> b draw c t h w", draw=count)
            terms = {f"draws_{name}": _mean(value, count) for name, value in iterate.terms.items()}
            yield Iterate(drawn.mean(1), terms, iterate.state, Uncertainty(drawn.std(1), count))


def _mean(values: Tensor, count: int) -> Tensor:
    return reduce(values, "(b draw) -> b", "mean", draw=count)
