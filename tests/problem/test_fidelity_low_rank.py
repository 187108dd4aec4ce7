"""The fidelity with correlated residuals against dense Gaussians, and its fit against planted correlations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds.fidelity import BINS, NEURONS, generator, ready, uniform, world

from recon.problem.fidelities import Gaussian, LowRank
from recon.problem.fidelities.low_rank import factor_analysis


def dense_energy(fidelity: LowRank, rates: Tensor, responses: Tensor) -> Tensor:
    """−log N(y; λ, S(A ⊗ C)S) through the full covariance matrix."""
    assert fidelity.private is not None and fidelity.shared is not None and fidelity.autocorrelation is not None
    neurons = torch.diag(fidelity.private) + fidelity.shared @ fidelity.shared.T
    lags = [float(v) for v in fidelity.autocorrelation]
    first = (lags[1] - lags[1] * lags[2]) / (1 - lags[1] ** 2)
    second = (lags[2] - lags[1] ** 2) / (1 - lags[1] ** 2)
    while len(lags) < rates.shape[2]:
        lags.append(first * lags[-1] + second * lags[-2])
    steps = torch.arange(rates.shape[2])
    times = torch.tensor(lags, dtype=torch.float64)[(steps[:, None] - steps[None, :]).abs()]
    assert fidelity.intercept is not None and fidelity.slope is not None
    scale = (fidelity.intercept[:, None] + fidelity.slope[:, None] * rates).sqrt().flatten(1)
    covariance = scale[:, :, None] * torch.kron(neurons, times) * scale[:, None, :]
    normal = torch.distributions.MultivariateNormal(rates.flatten(1), covariance)
    return -normal.log_prob(responses.flatten(1))


def test_low_rank_is_the_dense_gaussian() -> None:
    fidelity = ready("low_rank")
    assert isinstance(fidelity, LowRank)
    rates, responses, _ = world()
    mask = torch.ones_like(rates) > 0
    others = rates.roll(1, 0)
    difference = fidelity(rates, responses, mask) - fidelity(others, responses, mask)
    torch.testing.assert_close(
        difference, dense_energy(fidelity, rates, responses) - dense_energy(fidelity, others, responses)
    )


def test_low_rank_with_a_gap_is_the_dense_marginal() -> None:
    """Bins left out in the middle: the residuals around the gap stay correlated as ρ says."""
    fidelity = ready("low_rank")
    assert isinstance(fidelity, LowRank) and fidelity.autocorrelation is not None
    rates, responses, mask = world(1)
    mask[:], mask[..., 3:6] = True, False
    full = replace(fidelity, shared=torch.zeros(NEURONS, 2, dtype=torch.float64))
    bins = mask[0, 0]
    lags = fidelity.autocorrelation.to(rates)
    first = (lags[1] - lags[1] * lags[2]) / (1 - lags[1] ** 2)
    second = (lags[2] - lags[1] ** 2) / (1 - lags[1] ** 2)
    values = [float(v) for v in lags]
    while len(values) < BINS:
        values.append(float(first * values[-1] + second * values[-2]))
    steps = torch.arange(BINS)
    times = torch.tensor(values, dtype=torch.float64)[(steps[:, None] - steps[None, :]).abs()][bins][:, bins]
    assert full.private is not None and full.intercept is not None and full.slope is not None
    variance = (full.intercept[:, None] + full.slope[:, None] * rates[0])[:, bins]
    scores = (responses - rates)[0][:, bins] / variance.sqrt()
    quadratic = ((scores @ times.inverse()) * scores).sum(1) / full.private
    expected = 0.5 * (quadratic.sum() + variance.log().sum())
    torch.testing.assert_close(full(rates, responses, mask)[0], expected)


def test_low_rank_without_correlations_is_the_gaussian() -> None:
    rates, responses, mask = world()
    plain = ready("gaussian")
    assert isinstance(plain, Gaussian)
    white = LowRank(
        intercept=plain.intercept,
        slope=plain.slope,
        private=torch.ones(NEURONS),
        shared=torch.zeros(NEURONS, 3),
        autocorrelation=torch.tensor([1.0, 0.0]),
    )
    torch.testing.assert_close(white(rates, responses, mask), plain(rates, responses, mask))


def test_low_rank_without_autocorrelations_is_refused() -> None:
    rates, responses, mask = world()
    with pytest.raises(ValueError, match="expected fitted autocorrelations"):
        replace(ready("low_rank"), autocorrelation=None)(rates, responses, mask)


def test_low_rank_drops_bins_that_count_for_some_neurons_only() -> None:
    rates, responses, mask = world()
    ragged, square = mask.clone(), mask.clone()
    ragged[:, 3, -1], square[..., -1] = False, False
    torch.testing.assert_close(ready("low_rank")(rates, responses, ragged), ready("low_rank")(rates, responses, square))


def test_factor_analysis_finds_planted_covariance() -> None:
    shared = torch.randn(12, 2, generator=generator(14), dtype=torch.float64)
    private = 0.3 + torch.rand(12, generator=generator(15), dtype=torch.float64)
    noise = torch.randn(14, 40_000, generator=generator(16), dtype=torch.float64)
    d, u = factor_analysis(shared @ noise[:2] + private.sqrt()[:, None] * noise[2:], 2, 60)
    torch.testing.assert_close(d, private, atol=0.05, rtol=0.05)
    torch.testing.assert_close(u @ u.T, shared @ shared.T, atol=0.1, rtol=0.05)


def test_low_rank_fit_finds_correlations_and_beats_independence() -> None:
    """Planted shared noise and AR(1) residuals: found, and the held-out likelihood of the truth is higher."""
    neurons, bins = 20, 400
    white = torch.randn(8, neurons + 1, bins, generator=generator(17), dtype=torch.float64)
    noise = white.clone()
    for t in range(1, bins):
        noise[..., t] = 0.7 * noise[..., t - 1] + (1 - 0.49) ** 0.5 * white[..., t]
    rates = 1 + uniform(8, neurons, bins, seed=18)
    responses = rates + 0.6 * noise[:, :neurons] + 0.4 * noise[:, neurons:]
    mask = torch.ones_like(rates) > 0
    fitted = LowRank(rank=1, order=2, nugget=0.0).fit(rates[:6], responses[:6], mask[:6])
    assert fitted.autocorrelation is not None and fitted.shared is not None and fitted.private is not None
    torch.testing.assert_close(fitted.autocorrelation[1:], torch.tensor([0.7, 0.49]).double(), atol=0.04, rtol=0)
    expected = torch.full((neurons,), 0.16 / 0.52, dtype=torch.float64)
    torch.testing.assert_close(fitted.shared[:, 0].square(), expected, atol=0.12, rtol=0)
    plain = Gaussian().fit(rates[:6], responses[:6], mask[:6])
    offset = 0.15 * torch.ones_like(rates)
    # The plain likelihood is over-confident about an offset that shared, slow noise explains.
    plain_gap = plain(rates + offset, responses, mask) - plain(rates, responses, mask)
    gap = fitted(rates + offset, responses, mask) - fitted(rates, responses, mask)
    assert gap[6:].abs().mean() < 0.3 * plain_gap[6:].abs().mean()
