"""Metrics of activity against NumPy and SciPy, masks, repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from torch import Tensor

from recon.metrics.activity import (
    judge_correlation,
    oracle_correlation,
    other_repeats,
    pooled_response_correlation,
    response_correlation,
)


def activity() -> tuple[Tensor, Tensor]:
    values = torch.rand(2, 3, 5, 30, generator=torch.Generator().manual_seed(0))
    return values[0], 0.5 * values[0] + values[1]


def test_per_clip_and_pooled_are_scipys() -> None:
    rates, responses = activity()
    expected = [np.mean([pearsonr(rates[b, n], responses[b, n])[0] for n in range(5)]) for b in range(3)]
    np.testing.assert_allclose(response_correlation(rates, responses), expected, atol=1e-6)
    torch.testing.assert_close(judge_correlation(rates, responses), response_correlation(rates, responses))
    joined = [pearsonr(rates[:, n].flatten(), responses[:, n].flatten())[0] for n in range(5)]
    assert float(pooled_response_correlation(rates, responses)) == pytest.approx(np.mean(joined), abs=1e-6)


def test_masks_leave_out_garbage() -> None:
    rates, responses = activity()
    neurons, frames = torch.tensor([True, False, True, True, False]), torch.ones(30, dtype=torch.bool)
    frames[:8] = False
    expected = response_correlation(rates[:, neurons][..., 8:], responses[:, neurons][..., 8:])
    pooled = pooled_response_correlation(rates[:, neurons][..., 8:], responses[:, neurons][..., 8:])
    rates[:, 1], responses[..., :8] = math.nan, math.inf
    torch.testing.assert_close(response_correlation(rates, responses, neurons, frames), expected)
    torch.testing.assert_close(response_correlation(rates, responses, neurons, frames.expand(3, -1)), expected)
    torch.testing.assert_close(pooled_response_correlation(rates, responses, neurons, frames), pooled)


def test_silent_neurons_are_left_out_and_silence_is_nan() -> None:
    rates, responses = activity()
    silent = responses.clone()
    silent[:, 2] = 0.0
    keep = [0, 1, 3, 4]
    expected = response_correlation(rates[:, keep], responses[:, keep])
    torch.testing.assert_close(response_correlation(rates, silent), expected)
    assert response_correlation(rates, torch.zeros_like(responses)).isnan().all()
    assert pooled_response_correlation(rates, torch.zeros_like(responses)).isnan()


def test_oracle_of_repeats() -> None:
    _, responses = activity()
    expected = [
        np.mean([pearsonr(responses[r, n], np.delete(responses[:, n].numpy(), r, 0).mean(0))[0] for n in range(5)])
        for r in range(3)
    ]
    assert float(oracle_correlation(responses)) == pytest.approx(np.mean(expected), abs=1e-6)
    same = responses[:1].expand(4, -1, -1)
    assert float(oracle_correlation(same)) == pytest.approx(1.0)
    torch.testing.assert_close(other_repeats(same), same)
    assert oracle_correlation(responses[:1]).isnan()


def test_shapes_are_checked() -> None:
    rates, responses = activity()
    with pytest.raises(ValueError, match="expected rates and responses of equal shape"):
        response_correlation(rates[:, :4], responses)
