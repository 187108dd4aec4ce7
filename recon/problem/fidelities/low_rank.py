"""A Gaussian likelihood whose residuals are correlated over neurons (low rank) and over lags (autoregressive)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Positive, Whole
from recon.problem.fidelities.base import Likelihood, counted, fitted
from recon.problem.fidelities.independent import Gaussian


@final
@dataclass(frozen=True)
class LowRank(Likelihood):
    """Gaussian negative log likelihood with covariance S·(A ⊗ C)·S over (neuron, bin):

        S² = a + b·max(λ, 0)         (the neuron's noise variance, as in `Gaussian`, so that z = (y − λ)/S)
        A  = diag(d) + U Uᵀ          (neurons; U `[N,R]` by maximum-likelihood factor analysis of z)
        C_tu = ρ(|t − u|)            (bins; ρ of an autoregression of `order` p, by Yule–Walker)
        energy = ½ zᵀ(A ⊗ C)⁻¹z + Σ log S

    A⁻¹ goes by Woodbury's identity; both inverses are those of the counted neurons and bins alone, so that leaving
    some out is exact marginalisation. The product needs neurons × common bins: a bin that counts for only some of a
    sample's counted neurons counts for none. `nugget` shrinks ρ(τ > 0), since interpolated responses have a nearly
    singular C. With U = 0, d = 1, ρ(τ > 0) = 0 it is `Gaussian`. Factor analysis: Rubin & Thayer 1982.
    """

    by_frame: ClassVar[bool] = False

    rank: Whole = 8
    order: Count = 4
    nugget: Decay = 0.02
    floor: Positive = 0.05
    steps: Count = 40
    intercept: Tensor | None = None
    slope: Tensor | None = None
    private: Tensor | None = None
    shared: Tensor | None = None
    autocorrelation: Tensor | None = None

    def __call__(self, rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        """Return ½ zᵀ(A ⊗ C)⁻¹z + Σ log S `[B]` over the counted neurons and their common bins."""
        private, shared = fitted(self.private, rates), fitted(self.shared, rates)
        neurons, bins = common(mask)
        mask = neurons[:, :, None] & bins[:, None, :]
        scores, variance = self._standardise(rates, responses, mask)
        correlation = toeplitz(_extended(self._lags(rates), mask.shape[2]), bins)
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(correlation), scores.mT, upper=False)
        energy = _woodbury(white, neurons / private, shared)
        return 0.5 * (energy + (variance.log() * mask).sum((1, 2)))

    @torch.no_grad()
    def fit(self, rates: Tensor, responses: Tensor, mask: Tensor) -> LowRank:
        """Return a copy fitted to the residuals of training trials `[B,N,K]`: first S, then A, then ρ."""
        noise = Gaussian(self.floor).fit(rates, responses, mask)
        scaled = replace(self, intercept=noise.intercept, slope=noise.slope)
        neurons, bins = common(mask)
        scores, _ = scaled._standardise(rates, responses, neurons[:, :, None] & bins[:, None, :])
        private, shared = factor_analysis(scores.transpose(0, 1)[:, bins], self.rank, self.steps)
        lags = _autocorrelation(scores, bins, private=private, shared=shared, order=self.order)
        lags[1:] *= 1 - self.nugget
        return replace(scaled, private=private, shared=shared, autocorrelation=lags)

    def _standardise(self, rates: Tensor, responses: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        rates, responses = counted(rates, mask, 1.0), counted(responses, mask, 0.0)
        variance = Gaussian(self.floor, intercept=self.intercept, slope=self.slope).variance(rates)
        return (responses - rates) / variance.sqrt() * mask, variance

    def _lags(self, like: Tensor) -> Tensor:
        if self.autocorrelation is None:
            raise InputError("fidelity: expected fitted autocorrelations, got none; call fit(rates, responses, mask)")
        return self.autocorrelation.to(like)


def common(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return neurons `[B,N]` that count somewhere and bins `[B,K]` that count for all of them, of mask `[B,N,K]`."""
    neurons = mask.any(2)
    return neurons, (mask | ~neurons[:, :, None]).all(1) & neurons.any(1, keepdim=True)


def toeplitz(lags: Tensor, bins: Tensor) -> Tensor:
    """Return `[B,K,K]`: ρ(|t − u|) among the counted bins `[B,K]`, the identity among the others."""
    steps = torch.arange(len(lags), device=lags.device)
    full = lags[(steps[:, None] - steps[None, :]).abs()]
    both = bins[:, :, None] & bins[:, None, :]
    return torch.where(both, full, torch.eye(len(lags), dtype=lags.dtype, device=lags.device))


def _woodbury(white: Tensor, precision: Tensor, shared: Tensor) -> Tensor:
    """Return Σ_k wᵀ(diag(d) + U Uᵀ)⁻¹w `[B]` of `white` `[B,K,N]`, with `precision` 1/d `[B,N]`, 0 where left out."""
    scaled = precision[:, :, None] * shared
    inner = torch.eye(shared.shape[1], dtype=shared.dtype, device=shared.device) + shared.mT @ scaled
    explained = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), (white @ scaled).mT, upper=False)
    energy: Tensor = (white.square() * precision[:, None, :]).sum((1, 2)) - explained.square().sum((1, 2))
    return energy


def factor_analysis(samples: Tensor, rank: int, steps: int) -> tuple[Tensor, Tensor]:
    """Return d `[N]` and U `[N,R]` of the covariance diag(d) + U Uᵀ of zero-mean samples `[N,M]`.

    Expectation–maximisation (Rubin & Thayer 1982), from the leading directions of a subspace iteration. Neurons
    without a sample that differs from zero keep d = 1 and U = 0.
    """
    count, rank = max(samples.shape[1], 1), min(rank, len(samples))
    power = samples.square().sum(1) / count
    alive = power > 0
    private, shared = 0.5 * power.clamp_min(1e-6), _leading(samples, rank)
    for _ in range(steps):
        scaled = shared / private[:, None]
        inner = torch.eye(rank, dtype=shared.dtype, device=shared.device) + shared.mT @ scaled
        latent = torch.linalg.solve(inner, scaled.mT @ samples)
        cross = samples @ latent.mT / count
        second = torch.linalg.inv(inner) + latent @ latent.mT / count
        shared = torch.linalg.solve(second, cross.mT).mT
        private = (power - (shared * cross).sum(1)).clamp_min(0.01 * power).clamp_min(1e-6)
    return torch.where(alive, private, 1.0), torch.where(alive[:, None], shared, 0.0)


def _leading(samples: Tensor, rank: int, sweeps: int = 4) -> Tensor:
    """Return `[N,R]`: leading directions times half their standard deviation, by subspace iteration."""
    generator = torch.Generator().manual_seed(0)  # a start vector, not randomness: any generic one does
    basis = torch.randn(len(samples), rank, generator=generator).to(samples)
    for _ in range(sweeps):
        basis = torch.linalg.qr(samples @ (samples.mT @ basis)).Q
    return 0.7 * basis * (samples.mT @ basis).square().sum(0).div(max(samples.shape[1], 1)).sqrt()


def _autocorrelation(scores: Tensor, bins: Tensor, *, private: Tensor, shared: Tensor, order: int) -> Tensor:
    """Return ρ(0…p) `[p+1]` of scores `[B,N,K]`, neurons weighted by A⁻¹.

    Lags are summed over the zero-filled series (the biased estimator), which keeps every ρ positive definite.
    """
    scaled = shared / private[:, None]
    inner = torch.eye(shared.shape[1], dtype=shared.dtype, device=shared.device) + shared.mT @ scaled
    inverse = scores / private[:, None] - scaled @ torch.linalg.solve(inner, scaled.mT @ scores)
    last = min(order, bins.shape[1] - 1)
    lags = torch.stack([(scores[..., : bins.shape[1] - lag] * inverse[..., lag:]).sum() for lag in range(last + 1)])
    return lags / lags[0] if float(lags[0]) > 0 else torch.eye(last + 1).to(lags)[0]


def _extended(lags: Tensor, length: int) -> Tensor:
    """Return ρ `[length]` of the autoregression whose first autocorrelations are `lags` (Yule–Walker equations)."""
    values, order = lags.tolist(), len(lags) - 1
    if order > 0:
        known = torch.tensor(values, dtype=torch.float64)
        steps = torch.arange(order)
        equations = known[(steps[:, None] - steps[None, :]).abs()]
        coefficients = torch.linalg.solve(equations, known[1:]).tolist()
        for lag in range(order + 1, length):
            values.append(sum(c * values[lag - i] for i, c in enumerate(coefficients, start=1)))
    values += [0.0] * (length - len(values))
    return torch.tensor(values[:length], dtype=torch.float64).to(lags)
