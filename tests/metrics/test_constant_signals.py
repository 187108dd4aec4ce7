"""Constant signals that jitter by rounding have no correlation: every score is NaN. Weak signals have one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds.linear import encoder

from recon.analysis.language.significance import clip_products
from recon.correlation import CONSTANT, pearson, pearson_of_sums
from recon.data.noise_ceiling import explainable_variance, normalised_correlation, oracle_correlation, split_half
from recon.encoders.training.clips import moments
from recon.metrics import METRICS
from recon.metrics.activity import pooled_response_correlation, response_correlation
from recon.metrics.frequency import motion_energy_correlation, spatial_frequency_correlation
from recon.metrics.frequency import temporal_frequency_correlation as temporal_correlation
from recon.metrics.movie import matched

SHAPE = (2, 1, 12, 16, 20)


def jittered(shape: tuple[int, ...], level: float = 0.5) -> Tensor:
    """A level with one unit in the last place of float32 added at random."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    return torch.from_numpy(np.where(drawn, np.float32(level), np.nextafter(np.float32(level), np.float32(1))))


def random(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


MOVIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{name: METRICS[name].function for name in ("video_correlation", "frame_correlation", "pixel_correlation")},
    "motion": motion_energy_correlation,
    "spatial": lambda x, y: spatial_frequency_correlation(x, y)[1],
    "temporal": lambda x, y: temporal_correlation(x, y)[1],
}


@pytest.mark.parametrize("level", [0.5, 0.1])
@pytest.mark.parametrize("name", MOVIES)
def test_a_grey_movie_has_no_correlation(name: str, level: float) -> None:
    grey, truth = jittered(SHAPE, level), random(SHAPE)
    assert len(grey.unique()) == 2
    assert MOVIES[name](grey, truth).isnan().all() and MOVIES[name](truth, grey).isnan().all()
    assert not MOVIES[name](truth, truth).isnan().all()


def repeats(first: Tensor) -> Tensor:
    return torch.stack([first, random(tuple(first.shape))])


RESPONSES: dict[str, Callable[[Tensor], Tensor]] = {
    "per clip": lambda x: response_correlation(x[None], random((1, *x.shape))),
    "masked": lambda x: response_correlation(x[None], random((1, *x.shape)), frames=torch.arange(x.shape[1]) > 5),
    "pooled": lambda x: pooled_response_correlation(x[None], random((1, *x.shape))),
    "over clips": lambda x: pearson_of_sums(moments(x, random(tuple(x.shape)))),
    "oracle": lambda x: oracle_correlation([x.expand(3, -1, -1)]),
    "split half": lambda x: split_half(x.expand(4, -1, -1), generator=torch.Generator().manual_seed(0)),
    "explainable variance": lambda x: explainable_variance(x.expand(4, -1, -1)),
    "exchanged clips": lambda x: clip_products([x.T, x.T], [random((x.shape[1], len(x)))] * 2),
    "normalised": lambda x: normalised_correlation(random((4, *x.shape)) + random(tuple(x.shape)), x),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_a_constant_neuron_has_no_correlation(name: str) -> None:
    assert RESPONSES[name](jittered((3, 40), 3.0)).isnan().all()
    assert not RESPONSES[name](random((3, 40))).isnan().any()


def test_rates_of_any_scale_have_a_correlation() -> None:
    """Also over few frames: the rule is relative, so units do not matter."""
    rates, responses = random((3, 20)), random((4, 3, 20))[3]
    expected = pearson(rates, responses)
    for scale in (1e-6, 1.0, 1e6):
        torch.testing.assert_close(pearson_of_sums(moments(scale * rates, responses)), expected, rtol=1e-6, atol=1e-6)


def test_the_limit_lies_between_rounding_and_the_faintest_signal() -> None:
    """Float32 rounds to within 6e-8 of a value; a 16-bit camera resolves 1.5e-5 of its range."""
    y = random((1000,))
    faint = torch.from_numpy(0.5 + 1.5e-5 * (y.numpy() > 0.5)).float()
    assert not math.isnan(pearson(faint, y)) and 2 * 6e-8 < CONSTANT < 0.5 * 1.5e-5
    filtered = encoder()(jittered((1, 1, 30, 6, 8)))[0, :, 5:]
    assert pearson(filtered, random(tuple(filtered.shape))).isnan().all()


def test_of_a_grey_movie_only_the_mean_is_matched() -> None:
    grey, truth = jittered(SHAPE), random(SHAPE)
    assert float(matched(grey, truth).std()) < 0.01
