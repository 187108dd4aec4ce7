"""Statistics over clips: bootstrap intervals, sign-flip tests, paired differences, correction for multiple tests.

Clips are the units; NaN values are excluded. With several recordings, clips are nested in recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recon.errors import InputError

EXACT_PAIRS = 20
"""Maximum number of pairs for which all sign patterns are enumerated (2²⁰ ≈ 10⁶)."""


@dataclass(frozen=True)
class Comparison:
    """Paired comparison: mean difference, its interval, two-sided p of the sign-flip test, number of pairs."""

    difference: float
    low: float
    high: float
    p_value: float
    pairs: int


def bootstrap_interval(
    values: ArrayLike,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
    nests: Sequence[str] = (),
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over clips (Efron 1979); NaN for fewer than two clips.

    `nests` names the recording of each clip: recordings are resampled first, then the clips of each, and the statistic
    is the mean over recordings of their means (`nested_mean`; Saravanan et al. 2020). With few recordings the interval
    is about as wide as the differences between them.

    >>> bootstrap_interval([1.0, 1.0, 1.0], generator=np.random.default_rng(0))
    (1.0, 1.0)
    """
    if not 0 < level < 1:
        raise InputError(f"level: expected a probability between 0 and 1, got {level}; 0.95 is usual")
    known = _known(values)
    if len(known) < 2:
        return float("nan"), float("nan")
    parts = _nested(values, nests)
    # A single recording is not resampled, only its clips.
    several = len(parts) > 1
    chosen = generator.integers(0, len(parts), (resamples, len(parts))) if several else np.zeros((resamples, 1), int)
    means = np.zeros(resamples)
    for number, part in enumerate(parts):
        for place in chosen.T:
            own = np.flatnonzero(place == number)
            means[own] += part[generator.integers(0, len(part), (len(own), len(part)))].mean(1) / len(parts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of mean(numerator) / mean(denominator), resampling clips as pairs.

    The interval is meaningless if that of the denominator includes 0. NaN for fewer than two clips with both values.

    >>> bootstrap_ratio([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], generator=np.random.default_rng(0))
    (0.5, 0.5)
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if top.shape != bottom.shape or top.ndim != 1:
        raise InputError(
            f"ratio: expected two lists of equal length, got {top.shape} and {bottom.shape}; pair the clips"
        )
    from scipy.stats import bootstrap

    known = ~np.isnan(top + bottom)
    if known.sum() < 2:
        return float("nan"), float("nan")
    found = bootstrap(
        (top[known], bottom[known]),
        lambda above, below, axis: above.mean(axis) / below.mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=level,
        method="percentile",
        rng=generator,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def resampled_means(
    values: ArrayLike, *, generator: np.random.Generator, resamples: int = 10_000
) -> NDArray[np.float64]:
    """Return the means over clips `[resamples,…]` of bootstrap samples, clips on the last axis of `values` `[…,n]`.

    All series share the clips of a sample: differences between their means are paired.

    >>> resampled_means([[1.0, 1.0], [2.0, 2.0]], generator=np.random.default_rng(0), resamples=2).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    table = np.asarray(values, dtype=np.float64)
    clips = table.shape[-1]
    shares = generator.multinomial(clips, np.full(clips, 1 / clips), resamples) / clips
    means: NDArray[np.float64] = np.einsum("rn,...n->r...", shares, table)
    return means


def sign_flip_test(differences: ArrayLike, *, generator: np.random.Generator, flips: int = 100_000) -> float:
    """Return the two-sided p of the sign-flip test (Fisher 1935): null hypothesis, differences `[n]` symmetric about 0.

    The test statistic is the mean. Exact for at most 20 pairs, otherwise from `flips` random sign patterns plus the
    observed one.

    >>> sign_flip_test([1.0, 2.0, 3.0], generator=np.random.default_rng(0))
    0.25
    """
    known = _known(differences)
    if not len(known):
        return float("nan")
    exact = len(known) <= EXACT_PAIRS
    sums = _all_sums(known) if exact else _random_sums(known, generator, flips)
    extreme = np.abs(sums) >= abs(known.sum()) - 1e-10 * np.abs(known).sum()
    return float(extreme.mean()) if exact else float((extreme.sum() + 1) / (flips + 1))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    generator: np.random.Generator,
    level: float = 0.95,
    nests: Sequence[str] = (),
) -> Comparison:
    """Compare first − second for the same clips under two methods; pairs with a NaN are excluded.

    `nests` names the recording of each clip if there are several; the units of the test are clips in any case.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"pairs: expected two equally long lists, got {a.shape} and {b.shape}; pair them by clip")
    known = _known(a - b)
    low, high = bootstrap_interval(a - b, generator=generator, level=level, nests=nests)
    return Comparison(nested_mean(a - b, nests), low, high, sign_flip_test(known, generator=generator), len(known))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple tests by Holm's step-down procedure (Holm 1979), in the same order.

    NaN stays NaN and does not count as a test.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return [float(value) for value in adjusted]


def nested_mean(values: ArrayLike, nests: Sequence[str] = ()) -> float:
    """Return the mean over recordings of the mean over their clips; `nests` names the recording of each clip.

    >>> nested_mean([1.0, 1.0, 1.0, 3.0], ["a", "a", "a", "b"])
    2.0
    """
    parts = _nested(values, nests)
    return float(np.mean([part.mean() for part in parts])) if parts else float("nan")


def _nested(values: ArrayLike, nests: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return the defined values of each recording; without `nests` all belong to one recording."""
    array = np.asarray(values, dtype=np.float64).ravel()
    names = np.asarray(list(nests) or [""] * len(array))
    if len(names) != len(array):
        raise InputError(f"nests: expected the recording of {len(array)} clips, got {len(names)}; name them all")
    parts = (_known(array[names == name]) for name in dict.fromkeys(names.tolist()))
    return [part for part in parts if len(part)]


def _known(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def _all_sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _random_sums(differences: NDArray[np.float64], generator: np.random.Generator, flips: int) -> NDArray[np.float64]:
    signs = generator.integers(0, 2, (flips, len(differences)), dtype=np.int8)
    sums: NDArray[np.float64] = (2.0 * signs - 1.0) @ differences
    return sums
