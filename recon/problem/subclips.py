"""Gradients of overlapping sub-clips: one by one, or in one pass if the encoder filters time first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from recon.encoders.base import TemporalFirst
from recon.problem.memory import in_portions
from recon.problem.problem import Observation, Problem, counted_frames, subclip_gradient
from recon.problem.windows import Frames

Pulled = tuple[Tensor, Tensor, Tensor | None]
"""Misfit per frame `[B,T]`, its gradient in the filtered movie `[B,T,…]`, and in behavior `[B,4,T]`."""


def subclip_gradients(
    problem: Problem, movie: Tensor, spans: Sequence[Frames], *, observation: int, separable: bool
) -> Iterator[tuple[Frames, Tensor, Tensor]]:
    """Yield each sub-clip's (first, end), energy `[B]` and gradient `[B,C,end−first,H,W]`.

    With a `separable` fidelity (a sum over frames) and an encoder that filters time first, overlapping sub-clips
    share one pass: a counted rate has all its context inside its sub-clip and is thus the same in all of them.
    Gradients are unmasked: the published loop masks them after their norm is taken.
    """
    alone, movie = problem.alone(observation), problem.shown(movie.detach())
    encoder = alone.observations[0].encoder
    if separable and isinstance(encoder, TemporalFirst):
        yield from shared_subclips(alone, encoder, movie, spans, pull_to_planes(alone, encoder, movie))
        return
    for span in spans:
        value, gradient = in_portions(alone, movie, partial(_subclip, span))
        yield span, value, gradient


def _subclip(span: Frames, problem: Problem, movie: Tensor) -> tuple[Tensor, Tensor]:
    return subclip_gradient(problem, problem.observations[0], movie, span)


def shared_subclips(
    problem: Problem, encoder: TemporalFirst, movie: Tensor, spans: Sequence[Frames], pulled: Pulled
) -> Iterator[tuple[Frames, Tensor, Tensor]]:
    """Share one pass up to the filtered movie; apply the adjoint of the linear filter to each sub-clip.

    Except at the start of the movie, the first frames of a sub-clip are not counted and have no gradient.
    """
    observation, (misfits, pull, _) = problem.observations[0], pulled
    adjoints: dict[tuple[int, int], Callable[[Tensor], Tensor]] = {}
    for first, end in spans:
        uncounted = encoder.spec.context[0] if first > 0 else 0
        shape = (end - first, uncounted)
        adjoint = adjoints.setdefault(shape, adjoints.get(shape) or _adjoint(encoder, movie, *shape))
        counted = counted_frames(observation, (first, end))
        yield (first, end), (misfits[:, first:end] * counted).sum(1), adjoint(pull[:, first + uncounted : end])


@torch.enable_grad()
def _adjoint(encoder: TemporalFirst, movie: Tensor, length: int, uncounted: int) -> Callable[[Tensor], Tensor]:
    """Return the adjoint of the encoder's filter on sub-clips of `length` frames; one graph, since it is linear."""
    leaf = torch.zeros_like(movie[:, :, :length], requires_grad=True)
    if length <= uncounted:
        return lambda gradient: torch.zeros_like(leaf)
    planes = encoder.filtered(leaf, padded=uncounted == 0)

    def pulled(gradient: Tensor) -> Tensor:
        return torch.autograd.grad(planes, leaf, gradient, retain_graph=True)[0]

    return pulled


@torch.enable_grad()
def pull_to_planes(problem: Problem, encoder: TemporalFirst, movie: Tensor, behavior: Tensor | None = None) -> Pulled:
    """Return the misfit per frame and its gradient in the filtered movie, and in behavior if given."""
    observation = problem.observations[0]
    measurement = observation.measurement
    problem.meter.count(movie)
    planes = encoder.filtered(movie).detach().requires_grad_(True)
    rates = encoder.respond(planes, measurement.behavior if behavior is None else behavior)
    misfits = _frame_misfits(problem, rates, observation)
    leaves = [planes] if behavior is None else [planes, behavior]
    pull, *others = torch.autograd.grad(misfits.sum(), leaves, allow_unused=True)
    return misfits.detach(), pull, others[0] if others else None


def _frame_misfits(problem: Problem, rates: Tensor, observation: Observation) -> Tensor:
    """Return the misfit per frame `[B,T]` of a fidelity that is a sum over frames."""
    measurement = observation.measurement
    alone, responses = (rearrange(x, "b n t -> (b t) n 1") for x in (rates, measurement.responses))
    mask = measurement.neurons[:, None] & measurement.frames.flatten()[:, None, None]
    misfits = problem.fidelity_of(observation)(alone, responses, mask)
    return rearrange(misfits, "(b t) -> b t", b=len(rates))
