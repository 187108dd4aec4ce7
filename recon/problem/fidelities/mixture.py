"""A mixture likelihood for deconvolved calcium responses: a floor of small values and events above it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from recon.errors.ranges import Count
from recon.problem.fidelities.base import Likelihood, by_neuron, counted, fitted

ZERO = 1e-3
"""Responses count as at least this fraction of the floor's scale, where the gamma density is still finite."""

SMALLEST_FLOOR = 0.01
"""The floor's scale is at least this fraction of the neuron's mean response: traces without noise are all zeros."""

LOG_RANGE = 2.0
"""Standard deviation of a neuron's log parameters around the population's median: a weak hold on silent neurons."""


@final
@dataclass(frozen=True)
class Mixture(Likelihood):
    """Exponential floor plus gamma events, meant for acquisition bins; per neuron, with rate λ per bin:

        p(y|λ) = (1 − q)·Exp(y; mean s) + q·Gamma(y; shape k, mean m)
        μ = ½·(x + √(x² + s²/4)),  x = λ − s     (events' part of the rate: x where λ ≫ s, positive everywhere)
        q = 1 − exp(−μ/A)                        (probability of at least one event of mean size A)
        m = s + μ/q                              (s + A for rare events, s + μ for many)

    The mean of p is s + μ: λ for rates above the floor s, at most s/4 more than max(λ, s) around it.
    `floor_scale` s, `amplitude` A and `shape` k > 1, all `[N]`, are fitted; responses below zero count as zero.
    `steps` of Adam see at most `samples` bins, evenly spaced over the training trials.
    """

    by_frame: ClassVar[bool] = True

    steps: Count = 40
    samples: Count = 1000
    floor_scale: Tensor | None = None
    amplitude: Tensor | None = None
    shape: Tensor | None = None

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """Return Σ −log p(y|λ) `[B]` over the counted entries."""
        floor, amplitude, shape = (
            fitted(parameter, rates)[:, None] for parameter in (self.floor_scale, self.amplitude, self.shape)
        )
        rates, responses = counted(rates, mask, 1.0), counted(responses, mask, 0.0)
        terms = log_density(responses, rates, floor=floor, amplitude=amplitude, shape=shape)
        return -(terms * mask).sum((1, 2))

    def sample(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """Return draws of the floor, or of an event where there is one."""
        floor, amplitude, shape = (
            fitted(parameter, rates)[:, None] for parameter in (self.floor_scale, self.amplitude, self.shape)
        )
        events = _positive_part(rates - floor, 0.5 * floor)
        chance = -torch.expm1(-events / amplitude)
        numbers = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        happened = torch.from_numpy(numbers.random(rates.shape, dtype=np.float32)).to(chance) < chance
        quiet = torch.from_numpy(numbers.standard_exponential(rates.shape, dtype=np.float32)).to(rates) * floor
        mean, curve = (floor + events / chance)[happened], shape.expand_as(rates)[happened]
        sizes = torch.from_numpy(numbers.standard_gamma(curve.cpu().numpy())).to(rates)  # torch's has no generator
        return quiet.masked_scatter(happened, sizes * mean / curve)

    def fit(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Mixture:
        """Return a copy whose parameters maximise the likelihood of training responses `[B,N,K]`, neuron by neuron."""
        rate = by_neuron(counted(rates, mask, 0.0), self.samples)
        response = by_neuron(counted(responses, mask, 0.0), self.samples).relu()
        known = by_neuron(mask, self.samples)
        mean = response.sum(1) / known.sum(1).clamp_min(1)
        fallback = mean[mean > 0].median() if bool((mean > 0).any()) else mean.new_tensor(1.0)
        scale = torch.where(mean > 0, mean, fallback)
        chosen = (rate / scale[:, None], response / scale[:, None], known)
        floor, amplitude, shape = _maximise(chosen, self.steps)
        return replace(self, floor_scale=floor * scale, amplitude=amplitude * scale, shape=shape)


def log_density(responses: Tensor, rates: Tensor, *, floor: Tensor, amplitude: Tensor, shape: Tensor) -> Tensor:
    """Return log p(y|λ) of `Mixture`, entry by entry; all arguments broadcast."""
    responses = responses.relu()
    events = _positive_part(rates - floor, 0.5 * floor)
    no_event = -events / amplitude
    event = torch.log(-torch.expm1(no_event))
    mean = floor + events / torch.exp(event)
    log_response = torch.log(torch.maximum(responses, ZERO * floor))
    gamma = shape * (torch.log(shape / mean) - responses / mean) + (shape - 1) * log_response - torch.lgamma(shape)
    return torch.logaddexp(no_event - torch.log(floor) - responses / floor, event + gamma)


def _positive_part(x: Tensor, width: Tensor) -> Tensor:
    """Return ½(x + √(x² + width²)), written so that nothing cancels where x is far below zero."""
    root = torch.sqrt(x.square() + width.square())
    below = x < 0
    return torch.where(below, 0.5 * width.square() / (root + x.abs()), 0.5 * (root + x))


@torch.enable_grad()
def _maximise(samples: tuple[Tensor, ...], steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return floor, amplitude and shape `[N]` for rates, responses (mean 1 per neuron) and mask `[N,M]`."""
    rates, responses, mask = samples
    size = (responses.square().sum(1) / responses.sum(1).clamp_min(1e-12)).clamp(1e-1, 1e2)
    start = torch.stack([torch.full_like(size, math.log(0.2)), size.log(), torch.zeros_like(size)])
    logs = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([logs], lr=0.15, betas=(0.8, 0.95))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.15 * (1 - step / steps) + 0.005
        floor, amplitude, shape = (parameter[:, None] for parameter in _positive(logs))
        terms = log_density(responses, rates, floor=floor, amplitude=amplitude, shape=shape)
        hold = 0.5 * ((logs - logs.detach().median(1, keepdim=True).values) / LOG_RANGE).square().sum()
        optimiser.zero_grad()
        torch.autograd.backward([hold - (terms * mask).sum()], inputs=[logs])
        optimiser.step()
    floor, amplitude, shape = _positive(logs.detach())
    return floor, amplitude, shape


def _positive(logs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return SMALLEST_FLOOR + logs[0].exp(), logs[1].exp(), 1.0 + logs[2].exp()
