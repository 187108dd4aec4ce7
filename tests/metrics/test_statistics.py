"""Statistics over clips against SciPy and hand-worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from recon.metrics.statistics import bootstrap_interval, holm, nested_mean, paired_difference, sign_flip_test


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_bootstrap_is_scipys() -> None:
    """SciPy draws the same resamples from the same generator, so one recording has SciPy's digits."""
    values = rng(1).gamma(2.0, size=25)
    reference = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=rng(3))
    low, high = bootstrap_interval(values, generator=rng(3), resamples=20_000)
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=1e-14)
    narrow = bootstrap_interval(values, generator=rng(3), level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


def test_bootstrap_covers() -> None:
    """The 90 % interval holds the true mean in about 90 % of experiments with 40 clips."""
    generator = rng(4)
    hits = []
    for _ in range(300):
        low, high = bootstrap_interval(generator.normal(size=40), generator=generator, level=0.9, resamples=500)
        hits.append(low <= 0 <= high)
    assert 0.83 < np.mean(hits) < 0.95


def test_bootstrap_is_seeded_and_skips_undefined() -> None:
    values = rng(5).normal(size=12)
    again = bootstrap_interval([*values, math.nan], generator=rng(6))
    assert bootstrap_interval(values, generator=rng(6)) == again
    assert all(math.isnan(edge) for edge in bootstrap_interval([0.4, math.nan], generator=rng()))
    with pytest.raises(ValueError, match="level: expected a probability"):
        bootstrap_interval(values, generator=rng(), level=95)


@pytest.mark.parametrize("pairs", [3, 8, 11])
def test_exact_sign_flip_is_scipys(pairs: int) -> None:
    differences = rng(pairs).normal(0.4, 1.0, pairs)
    settings = {"permutation_type": "samples", "n_resamples": np.inf, "alternative": "two-sided"}
    reference = stats.permutation_test((differences, np.zeros(pairs)), lambda x, y: np.mean(x - y), **settings)
    assert sign_flip_test(differences, generator=rng()) == pytest.approx(reference.pvalue)


def test_random_sign_flip_agrees_with_the_exact_one() -> None:
    """Two zeros more leave the exact p as it is and lead to the random branch."""
    differences = rng(9).normal(0.3, 1.0, 20)
    exact = sign_flip_test(differences, generator=rng())
    drawn = sign_flip_test([*differences, 0.0, 0.0], generator=rng(), flips=40_000)
    assert drawn == pytest.approx(exact, abs=0.01)
    assert sign_flip_test(np.ones(60), generator=rng(), flips=999) == pytest.approx(1 / 1000)


def test_sign_flip_edges() -> None:
    assert sign_flip_test([1.0] * 6, generator=rng()) == pytest.approx(2 / 64)
    assert sign_flip_test([0.0, 0.0], generator=rng()) == 1.0
    assert math.isnan(sign_flip_test([math.nan], generator=rng()))


def test_paired_difference() -> None:
    second = rng(10).normal(size=30)
    first = second + 0.5 + 0.1 * rng(11).normal(size=30)
    first[3] = math.nan
    result = paired_difference(first, second, generator=rng())
    expected = np.delete(first - second, 3)
    assert result.pairs == 29 and result.difference == pytest.approx(expected.mean())
    assert 0.4 < result.low < result.difference < result.high < 0.6
    assert result.p_value < 0.001
    reference = stats.ttest_1samp(expected, 0).confidence_interval(0.95)
    np.testing.assert_allclose((result.low, result.high), reference, atol=0.01)
    nothing = paired_difference([math.nan], [1.0], generator=rng())
    assert nothing.pairs == 0 and math.isnan(nothing.difference) and math.isnan(nothing.p_value)
    with pytest.raises(ValueError, match="expected two equally long lists"):
        paired_difference([1.0, 2.0], [1.0], generator=rng())


def test_holm_by_its_definition() -> None:
    """Adjusted p ≤ α exactly where the step-down procedure rejects at α."""
    values = rng(12).uniform(0, 0.2, 9)
    adjusted = holm(list(values))
    for level in (0.01, 0.05, 0.1, 0.3):
        order, rejected = np.argsort(values), set()
        for rank, index in enumerate(order):
            if values[index] > level / (9 - rank):
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.01, math.nan])[0] == 0.01 and math.isnan(holm([0.01, math.nan])[1])


def test_clips_are_nested_in_recordings() -> None:
    """Recordings of unequal size count alike, and their differences widen the interval; one alone changes nothing."""
    few, many = rng(7).normal(0.0, 0.1, size=5), rng(8).normal(1.0, 0.1, size=50)
    values, nests = [*few, *many], ["a"] * 5 + ["b"] * 50
    low, high = bootstrap_interval(values, generator=rng(9), nests=nests)
    assert nested_mean(values, nests) == pytest.approx((few.mean() + many.mean()) / 2)
    assert low == pytest.approx(few.mean(), abs=0.15) and high == pytest.approx(many.mean(), abs=0.15)
    alone = bootstrap_interval(few, generator=rng(9))
    assert bootstrap_interval(few, generator=rng(9), nests=["a"] * 5) == alone
    with pytest.raises(ValueError, match="recording of 5 clips, got 4"):
        bootstrap_interval(few, generator=rng(9), nests=["a"] * 4)


def test_the_nested_bootstrap_draws_recordings_then_clips() -> None:
    """Without differences between clips the variance is that of the mean of k recordings drawn with replacement."""
    values, nests = [0.0, 0.0, 3.0, 3.0, 6.0, 6.0], list("aabbcc")
    low, high = bootstrap_interval(values, generator=rng(10), nests=nests, level=0.5)
    means = sorted((a + b + c) / 3 for a in (0, 3, 6) for b in (0, 3, 6) for c in (0, 3, 6))
    assert (low, high) == pytest.approx((np.quantile(means, 0.25), np.quantile(means, 0.75)), abs=1e-9)
