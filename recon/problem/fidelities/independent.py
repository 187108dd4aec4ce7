"""Likelihoods with independent entries and at most a variance: Poisson and Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from recon.correlation import doubled
from recon.errors.ranges import Count, Positive
from recon.problem.fidelities.base import Likelihood, by_neuron, counted, fitted

STD_FLOOR = 0.01
"""A neuron's noise is at least this fraction of the population's, as the field floors the std of responses."""

BLOCK = 500
"""Neurons that are fitted together, so that memory stays flat."""


@final
@dataclass(frozen=True)
class Poisson(Likelihood):
    """Poisson negative log likelihood λ − y·log(λ + ε), responses through a ReLU (Bauer et al. 2026).

    A rate below zero costs |λ| − y·log ε: finite, bounded below, and its gradient leads back to zero.

    >>> rates = torch.tensor([[[1.0, 2.0]]])
    >>> Poisson()(rates, torch.zeros(1, 1, 2), torch.ones(1, 1, 2, dtype=torch.bool))
    tensor([3.])
    """

    by_frame: ClassVar[bool] = True

    epsilon: Positive = 1e-8

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """Return Σ |λ| − y·log(λ + ε) `[B]` over the counted entries."""
        rates, spikes = counted(rates, mask, 1.0), counted(responses, mask, 0.0).relu()
        # Unlike that of relu, its derivative at 0 is 1: the gradient of Bauer et al.'s loss holds at silent rates too.
        positive = torch.where(rates < 0, torch.zeros_like(rates), rates)
        terms = positive + (-rates).relu() - spikes * torch.log(positive + self.epsilon)
        return (terms * mask).sum((1, 2))

    def sample(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """Return Poisson counts."""
        return torch.poisson(rates.clamp_min(0), generator)

    def fit(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Poisson:
        """Return itself: a Poisson likelihood has nothing to fit."""
        return self


@final
@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Gaussian negative log likelihood (y − λ)²/2v + ½·log v with the neuron's noise variance v = a + b·max(λ, 0).

    `intercept` a and `slope` b `[N]` are fitted; a is at least `floor` times the neuron's mean squared residual.
    """

    by_frame: ClassVar[bool] = True

    floor: Positive = 0.05
    samples: Count = 4000
    intercept: Tensor | None = None
    slope: Tensor | None = None

    def variance(self, rates: Tensor) -> Tensor:
        """Return the noise variance `[B,N,K]` at rates `[B,N,K]`."""
        return fitted(self.intercept, rates)[:, None] + fitted(self.slope, rates)[:, None] * rates.relu()

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """Return Σ (y − λ)²/2v + ½·log v `[B]` over the counted entries."""
        rates, responses = counted(rates, mask, 1.0), counted(responses, mask, 0.0)
        variance = self.variance(rates)
        terms = (responses - rates).square() / variance + variance.log()
        return 0.5 * (terms * mask).sum((1, 2))

    def sample(self, rates: Tensor, generator: torch.Generator) -> Tensor:
        """Return rates with Gaussian noise of the fitted variance."""
        noise = torch.randn(rates.shape, generator=generator, device=rates.device)
        return rates + self.variance(rates).sqrt() * noise

    @torch.no_grad()
    def fit(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Gaussian:
        """Return a copy whose a and b maximise the likelihood of residuals `[B,N,K]` (iterated weighted regression).

        At most `samples` bins, evenly spaced over the trials, enter.
        """
        counts = doubled(by_neuron(mask, self.samples))
        rate = doubled(by_neuron(counted(rates, mask, 0.0), self.samples)).relu()
        residuals = counted(responses, mask, 0.0) - counted(rates, mask, 0.0)
        square = doubled(by_neuron(residuals, self.samples)).square()
        scale = _scale((square * counts).sum(1) / counts.sum(1).clamp_min(1.0), counts.sum(1) > 0)
        blocks = [slice(first, first + BLOCK) for first in range(0, len(scale), BLOCK)]
        pieces = [_maximise(counts[block], rate[block], square[block], (scale[block], self.floor)) for block in blocks]
        intercept, slope = (torch.cat(parts).to(rates) for parts in zip(*pieces, strict=True))
        return replace(self, intercept=intercept, slope=slope)


def _maximise(counts: Tensor, rate: Tensor, square: Tensor, start: tuple[Tensor, float]) -> tuple[Tensor, Tensor]:
    """Return a and b `[N]` of squared residuals at rates `[N,M]`; `start` is the mean square and the floor's share."""
    scale, floor = start
    powers = torch.stack([counts, rate, square, rate.square(), rate * square], 1) * counts[:, None]
    intercept, slope = scale, torch.zeros_like(scale)
    for _ in range(15):
        weight = (intercept[:, None] + slope[:, None] * rate).pow(-2)
        intercept, slope = _affine((powers @ weight[:, :, None])[..., 0].T, floor * scale)
    return intercept, slope


def _scale(mean: Tensor, known: Tensor) -> Tensor:
    """Return mean squared residuals `[N]` that are never zero: a silent neuron must not outweigh all others."""
    population = mean[known].mean() if bool(known.any()) else mean.new_tensor(1.0)
    population = population if float(population) > 0 else mean.new_tensor(1.0)
    return torch.where(known, mean.clamp_min(float(STD_FLOOR**2 * population)), population)


def _affine(moments: Tensor, floor: Tensor) -> tuple[Tensor, Tensor]:
    """Return a ≥ floor and b ≥ 0 `[N]` of the weighted regression q ≈ a + b·x.

    `moments` `[5,N]` are Σw, Σwx, Σwq, Σwx², Σwxq. With w = 1/v² the fixed point is that of the Gaussian likelihood.
    """
    total, x, q, xx, xq = moments
    total = total.clamp_min(1e-300)
    variation = xx - x * x / total
    free = torch.where(variation > 1e-12 * xx, (xq - x * q / total) / variation, 0.0).clamp_min(0.0)
    intercept = (q - free * x) / total
    through_floor = torch.where(xx > 0, (xq - floor * x) / xx, 0.0).clamp_min(0.0)
    return intercept.clamp_min(floor), torch.where(intercept < floor, through_floor, free)
