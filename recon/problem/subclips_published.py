"""The published gradient of a sub-clip: mean misfit, grey levels, and a norm over movie and behavior together.

Bauer, Margrie & Clopath (eLife 2026) give the encoder one stack of channels, the movie in 0–255 and behavior and pupil
in the units of their files. They divide the gradient of the whole stack by its L2 norm, then keep the movie's channel.
The weight of a sub-clip in the average thus depends on its misfit's sensitivity to behavior.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from recon.encoders.base import TemporalFirst
from recon.problem.problem import Observation, Problem, counted_frames, span_misfit
from recon.problem.subclips import pull_to_planes, shared_subclips
from recon.problem.windows import Frames

WHITE = 255.0
"""Grey level of white in the published units."""

Part = tuple[Frames, Tensor, Tensor, Tensor]


def published_gradients(
    problem: Problem, movie: Tensor, spans: Sequence[Frames], *, observation: int, separable: bool
) -> Iterator[Part]:
    """Yield each sub-clip's (first, end), mean misfit `[B]`, its gradient per grey level, and its norm `[B]`.

    The gradient `[B,C,end−first,H,W]` is in the movie; the norm is over movie and behavior, which is spread over the
    canvas of an encoder with a border. Sub-clips share passes as in `subclip_gradients`.
    """
    alone, movie = problem.alone(observation), problem.shown(movie.detach())
    chosen = alone.observations[0]
    if separable and isinstance(chosen.encoder, TemporalFirst):
        parts = _shared(alone, chosen.encoder, movie, spans)
    else:
        parts = (_joint(alone, movie, span) for span in spans)
    neurons = chosen.measurement.neurons.sum()
    for span, value, gradient, rest in parts:
        count = (neurons * counted_frames(chosen, span).sum(1)).clamp_min(1)
        gradient = gradient / (WHITE * count.reshape(-1, 1, 1, 1, 1))
        norm = (gradient.flatten(1).square().sum(1) + rest / count.square()).sqrt()
        yield span, value / count, gradient, norm


@torch.enable_grad()
def _joint(problem: Problem, movie: Tensor, span: Frames) -> Part:
    """Return span, misfit `[B]`, its gradient in the movie, and the squared norm `[B]` of its gradient in behavior."""
    observation = problem.observations[0]
    leaf = movie[:, :, span[0] : span[1]].clone().requires_grad_(True)
    states = _states(observation, span)
    problem.meter.count(leaf)
    value = span_misfit(problem, observation.encoder(leaf, states), observation, span)
    leaves = [leaf] if states is None else [leaf, states]
    gradient, *others = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    rest = sum((other.flatten(1).square().sum(1) for other in others if other is not None), torch.zeros_like(value))
    return span, value.detach(), gradient, rest.detach()


def _states(observation: Observation, span: Frames) -> Tensor | None:
    """Return behavior as a leaf of the graph, `[B,4,t]` or, spread over a canvas, `[B,4,t,H,W]`."""
    behavior, encoder = observation.measurement.behavior, observation.encoder
    if behavior is None:
        return None
    part = behavior[..., span[0] : span[1]]
    if encoder.canvas != encoder.spec.frame_size:
        part = part[..., None, None].expand(*part.shape, *encoder.canvas)
    return part.clone().requires_grad_(True)


def _shared(problem: Problem, encoder: TemporalFirst, movie: Tensor, spans: Sequence[Frames]) -> Iterator[Part]:
    """As `_joint`, in one pass for all sub-clips: behavior affects only the rates of its own frame."""
    observation = problem.observations[0]
    states = _states(observation, (0, movie.shape[2])) if encoder.spec.behavior else None
    pulled = pull_to_planes(problem, encoder, movie, states)
    squares = movie.new_zeros(len(movie), movie.shape[2]) if pulled[2] is None else pulled[2].square().sum(1)
    for span, value, gradient in shared_subclips(problem, encoder, movie, spans, pulled):
        rest = squares[:, span[0] : span[1]] * counted_frames(observation, span)
        yield span, value, gradient, rest.sum(1)
