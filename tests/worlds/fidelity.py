"""Fidelities with planted parameters, and rates, responses and masks as their inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.problem.fidelities import Gaussian, LowRank, Mixture, Poisson
from recon.problem.fidelities.base import Likelihood

NEURONS, BINS = 6, 9


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def ready(name: str) -> Likelihood:
    """A fidelity with planted parameters for NEURONS neurons."""
    a, b = 0.2 + uniform(NEURONS, seed=1), 0.3 + uniform(NEURONS, seed=2)
    lags = torch.tensor([1.0, 0.6, 0.3], dtype=torch.float64)
    shared = uniform(NEURONS, 2, seed=3) - 0.3
    planted: dict[str, Likelihood] = {
        "poisson": Poisson(),
        "gaussian": Gaussian(intercept=a, slope=b),
        "mixture": Mixture(floor_scale=0.1 * a, amplitude=1 + b, shape=1.5 + b),
        "low_rank": LowRank(intercept=a, slope=b, private=0.5 + a, shared=shared, autocorrelation=lags),
    }
    return planted[name]


def world(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    rates = 0.1 + 2 * uniform(batch, NEURONS, BINS, seed=4)
    responses = (3 * uniform(batch, NEURONS, BINS, seed=5) - 1).relu()
    mask = torch.ones(batch, NEURONS, BINS, dtype=torch.bool)
    mask[..., :2] = False
    mask[:, 1] = False
    return rates, responses, mask


def value_and_gradient(fidelity: Likelihood, rates: Tensor, responses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    leaf = rates.clone().requires_grad_(True)
    energy = fidelity(leaf, responses, mask)
    (gradient,) = torch.autograd.grad(energy.sum(), leaf)
    return energy.detach(), gradient
