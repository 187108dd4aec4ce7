"""Noise ceilings against planted signal and noise, and against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.correlation import pearson
from recon.data.noise_ceiling import (
    alternating_halves,
    correlation_ceiling,
    explainable_variance,
    joined_repeats,
    noise_power,
    normalised_correlation,
    oracle_correlation,
    signal_power,
    spearman_brown,
    split_half,
)


def _planted(repeats=20, neurons=3, frames=4000, noise=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(neurons, frames, generator=generator, dtype=torch.float64)
    noisy = signal + noise * torch.randn(repeats, neurons, frames, generator=generator, dtype=torch.float64)
    return signal, noisy


def test_planted_powers_are_found():
    _, responses = _planted()
    np.testing.assert_allclose(signal_power(responses), 1.0, atol=0.1)
    np.testing.assert_allclose(noise_power(responses), 4.0, atol=0.15)
    np.testing.assert_allclose(explainable_variance(responses), 0.2, atol=0.02)
    np.testing.assert_allclose(correlation_ceiling(responses), np.sqrt(1 / (1 + 4 / 20)), atol=0.02)


def test_the_true_signal_reaches_one_after_normalisation():
    signal, responses = _planted(repeats=5)
    np.testing.assert_allclose(normalised_correlation(responses, signal), 1.0, atol=0.05)
    np.testing.assert_allclose(normalised_correlation(responses, 7 - 3 * signal), -1.0, atol=0.05)


def test_normalised_correlation_is_the_correlation_over_its_ceiling():
    signal, responses = _planted(repeats=4)
    prediction = signal + torch.randn(signal.shape, generator=torch.Generator().manual_seed(3))
    expected = pearson(prediction, responses.mean(0)) / correlation_ceiling(responses)
    torch.testing.assert_close(normalised_correlation(responses, prediction), expected)


def test_signal_power_of_equal_repeats_is_their_variance():
    one = torch.randn(1, 4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    same = one.expand(6, 4, 50)
    torch.testing.assert_close(signal_power(same), one[0].var(-1, correction=0))
    torch.testing.assert_close(noise_power(same), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(oracle_correlation([same]), torch.ones(4, dtype=torch.float64))


def test_oracle_correlation_equals_the_loop_in_numpy():
    clips = [_planted(repeats, 3, frames, seed=repeats)[1] for repeats, frames in ((4, 60), (3, 80))]
    for neuron in range(3):
        one, rest = [], []
        for clip in clips:
            values = clip[:, neuron].numpy()
            for r in range(len(values)):
                one.append(values[r])
                rest.append(np.delete(values, r, 0).mean(0))
        expected = np.corrcoef(np.concatenate(one), np.concatenate(rest))[0, 1]
        assert oracle_correlation(clips)[neuron].item() == pytest.approx(expected)


def test_oracle_of_planted_signal():
    _, responses = _planted(repeats=10)
    expected = 1 / np.sqrt(5 * (1 + 4 / 9))
    np.testing.assert_allclose(oracle_correlation([responses]), expected, atol=0.02)


def test_silent_neurons_are_nan_and_single_repeats_refused():
    silent = torch.zeros(3, 2, 10)
    for function in (explainable_variance, correlation_ceiling):
        assert function(silent).isnan().all()
    assert oracle_correlation([silent]).isnan().all()
    assert normalised_correlation(silent, torch.randn(2, 10)).isnan().all()
    assert split_half(silent, generator=torch.Generator()).isnan().all() and alternating_halves(silent).isnan().all()
    with pytest.raises(ValueError, match="R ≥ 2"):
        signal_power(torch.zeros(1, 2, 10))


def test_halves_of_planted_signal_and_their_correction():
    """Halves of 10 with noise variance 4: r = 1 / (1 + 4/10); all 20: 1 / (1 + 4/20)."""
    _, responses = _planted(neurons=4)
    half = split_half(responses, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(half, 1 / 1.4, atol=0.02)
    np.testing.assert_allclose(spearman_brown(half), 1 / 1.2, atol=0.02)
    np.testing.assert_allclose(alternating_halves(responses), 1 / 1.4, atol=0.03)


@pytest.mark.parametrize("repeats", [2, 3, 7, 10])
def test_random_halves_equal_the_loop_in_numpy(repeats):
    _, responses = _planted(repeats=repeats, neurons=2, frames=50)
    half = split_half(responses, generator=torch.Generator().manual_seed(5), halves=8)
    draws = torch.rand(8, repeats, generator=torch.Generator().manual_seed(5)).argsort(1).numpy()
    for neuron in range(2):
        values, size, found = responses[:, neuron].numpy(), repeats // 2, []
        for ranks in draws:
            first, second = values[ranks < size], values[(ranks >= size) & (ranks < 2 * size)]
            assert len(first) == len(second) == size
            found.append(np.corrcoef(first.mean(0), second.mean(0))[0, 1])
        assert half[neuron].item() == pytest.approx(np.mean(found))
        expected = np.corrcoef(values[::2].mean(0), values[1::2].mean(0))[0, 1]
        assert alternating_halves(responses)[neuron].item() == pytest.approx(expected)


def test_a_slow_drift_lowers_random_halves_but_not_alternating_ones():
    _, responses = _planted(repeats=20, neurons=1, frames=400, noise=0.2)
    drift = torch.linspace(-2, 2, 20)[:, None, None] * torch.randn(400, generator=torch.Generator().manual_seed(9))
    random = split_half(responses + drift, generator=torch.Generator().manual_seed(0))
    assert random.item() < alternating_halves(responses + drift).item() - 0.1


def test_clips_are_joined_at_the_number_of_repeats_that_keeps_most():
    clips = [torch.rand(9, 2, 30), torch.rand(10, 2, 30), torch.rand(2, 2, 40)]
    joined = joined_repeats(clips)
    assert joined.shape == (9, 2, 60)
    assert torch.equal(joined[:, :, 30:], clips[1][:9])
    assert joined_repeats([torch.rand(2, 2, 300), torch.rand(4, 2, 30)]).shape == (2, 2, 330)
    with pytest.raises(ValueError, match="R ≥ 2"):
        joined_repeats([torch.rand(1, 2, 30)])
