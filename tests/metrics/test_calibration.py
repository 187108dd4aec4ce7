"""Ranks, their simultaneous band and TARP: level where draws are posterior draws, power where they are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from recon.errors import InputError
from recon.metrics.calibration import Band, central_coverage, rank_curve, ranks, tarp_ranks, uniformity


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def gaussian(count: int, draws: int, *, wide: float = 1.0, moved: float = 0.0, size: int = 3, seed: int = 7) -> tuple:
    """Truths, posterior draws and references: unit prior, unit noise, so that the posterior is N(y/2, 1/2)."""
    generator = rng(seed)
    truth = generator.normal(size=(count, size))
    mean = (truth + generator.normal(size=truth.shape)) / 2
    noise = generator.normal(size=(count, draws, size))
    return truth, mean[:, None] + moved + wide * noise * 0.5**0.5, generator.normal(size=truth.shape)


def kept(found: np.ndarray, draws: int) -> float:
    """Share of experiments `[E,n]` whose whole curve is in the band."""
    curve = rank_curve(found[0], draws)
    at = np.rint(curve.levels * (draws + 1)).astype(int)
    shares = np.stack([(found < below).mean(1) for below in at], 1)
    return float(((shares >= curve.low - 1e-12) & (shares <= curve.high + 1e-12)).all(1).mean())


def test_the_probability_of_a_band_is_that_of_every_sequence_of_counts() -> None:
    """Against enumeration of the multinomial: four values in four unequal cells."""
    count, levels = 4, np.array([0.2, 0.5, 0.9])
    band = Band(count, levels)
    for threshold in (0.05, 0.2, 0.5):
        low, high = band.limits(threshold)
        cells = [c for c in itertools.product(range(count + 1), repeat=4) if sum(c) == count]
        kept = [c for c in cells if (low <= np.cumsum(c)[:3]).all() and (np.cumsum(c)[:3] <= high).all()]
        expected = sum(stats.multinomial.pmf(c, count, [0.2, 0.3, 0.4, 0.1]) for c in kept)
        assert band.probability(threshold) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count, draws", [(20, 9), (200, 19), (50, 200)])
def test_uniform_ranks_stay_in_the_band_as_often_as_it_says(count: int, draws: int) -> None:
    """At least 95 %, and hardly more; the p value is below .05 exactly where the curve leaves the band."""
    experiments = rng(1).integers(0, draws + 1, (2000, count))
    assert 0.94 < kept(experiments, draws) < 0.98
    curves = [rank_curve(found, draws) for found in experiments[:8]]
    assert all((curve.p_value > 0.05) == curve.inside for curve in curves)


def test_p_values_are_not_smaller_than_uniform() -> None:
    values = np.array([rank_curve(r, 9).p_value for r in rng(2).integers(0, 10, (150, 20))])
    assert all((values <= alpha).mean() <= alpha + 0.06 for alpha in (0.05, 0.2, 0.5))


def test_exact_draws_are_inside_as_often_as_it_says() -> None:
    """Also with few draws: the rank among m draws is uniform on 0…m; as a share of m it would be biased."""
    for draws in (1, 5, 19):
        found = [tarp_ranks(*gaussian(100, draws, seed=seed), generator=rng(seed)) for seed in range(80)]
        assert kept(np.stack(found), draws) > 0.88


@pytest.mark.parametrize("fault", [{"wide": 0.75}, {"wide": 1.3}, {"moved": 0.6}])
def test_faults_are_found(fault: dict[str, float]) -> None:
    found = [tarp_ranks(*gaussian(300, 19, seed=seed, **fault), generator=rng(seed)) for seed in range(20)]
    assert kept(np.stack(found), 19) < 0.5


def test_ties_are_broken_at_random() -> None:
    same = ranks(np.zeros(3000), np.zeros((3000, 4)), generator=rng(3))
    assert np.bincount(same, minlength=5) == pytest.approx([600] * 5, abs=90)
    partly = ranks([1.0] * 200, [[0.0, 1.0, 2.0]] * 200, generator=rng(4))
    assert set(partly) == {1, 2}


@pytest.mark.parametrize("draws, level", [(4, 0.9), (8, 0.5), (99, 0.9), (1, 0.9)])
def test_central_coverage_of_uniform_ranks_is_its_level(draws: int, level: float) -> None:
    assert central_coverage(np.arange(draws + 1), draws, level=level).mean() == pytest.approx(level)


def test_narrow_draws_cover_too_little() -> None:
    truth, draws, _ = gaussian(2000, 49, wide=0.5, size=1)
    covered = central_coverage(ranks(truth[:, 0], draws[..., 0], generator=rng()), 49).mean()
    assert covered == pytest.approx(2 * stats.norm.cdf(0.5 * 1.645) - 1, abs=0.03)


def test_chi_square_is_scipys_and_has_its_level() -> None:
    seen = rng(5).integers(0, 100, 500)
    assert uniformity(seen, 99) == pytest.approx(stats.chisquare(np.histogram(seen, 10, (0, 100))[0]).pvalue)
    null = np.array([uniformity(r, 12) for r in rng(6).integers(0, 13, (500, 60))])
    assert (null < 0.05).mean() == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ranks([1.0], [[0.0], [1.0]], generator=rng()),
        lambda: ranks([np.nan], [[0.0]], generator=rng()),
        lambda: tarp_ranks([[0.0]], [[[1.0]]], [[1.0, 2.0]], generator=rng()),
        lambda: rank_curve([5], 4),
        lambda: rank_curve([], 4),
        lambda: rank_curve([0.5], 4),
        lambda: uniformity([1, 2, 3], 4),
    ],
)
def test_what_are_no_ranks_is_refused(call) -> None:
    with pytest.raises(InputError, match=r"expected .*, got .*; "):
        call()
