"""Joint calibration of posterior draws: simulation-based ranks and TARP, with exact simultaneous bands.

If n truths and their draws come from the same posteriors, the rank of each truth among its m draws is uniform on 0…m,
whatever the prior and the encoder, for any scalar quantity (simulation-based calibration: Talts, Betancourt, Simpson,
Vehtari & Gelman 2018) and for the distance to a reference point chosen without the truth (TARP: Lemos, Coogan, Hezaveh
& Perreault-Levasseur 2023). Quantities that read the responses too, such as the misfit, find faults that movies alone
hide (Modrák et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recon.errors import InputError

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

EXPECTED_IN_A_BIN = 5
"""Least expected count of a bin for which the chi-square distribution is a good approximation."""


@dataclass(frozen=True)
class RankCurve:
    """Share of truths within each credibility level, and the band that holds the whole curve of a calibrated sampler.

    `levels`, `share`, `low`, `high` are `[K]`; at level k/(m+1) the share is that of ranks below k. The probability
    that a calibrated sampler leaves the band anywhere is at most 1 − level. `p_value` is that of the largest departure,
    in the same sense.
    """

    levels: Floats
    share: Floats
    low: Floats
    high: Floats
    p_value: float

    @property
    def inside(self) -> bool:
        """True if the curve stays in the band at every level."""
        return bool(((self.low <= self.share) & (self.share <= self.high)).all())


def ranks(truth: ArrayLike, draws: ArrayLike, *, generator: np.random.Generator) -> Ranks:
    """Return the ranks `[n]`, 0…m, of truths `[n]` among their draws `[n,m]`; ties are broken at random.

    >>> ranks([0.5, 3.0], [[0.0, 1.0], [1.0, 2.0]], generator=np.random.default_rng(0)).tolist()
    [1, 2]
    """
    known, drawn = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if drawn.ndim != 2 or known.shape != drawn.shape[:1] or not drawn.size:
        raise InputError(f"ranks: expected truths [n] and draws [n,m], got {known.shape} and {drawn.shape}; match them")
    if np.isnan(known).any() or np.isnan(drawn).any():
        raise InputError("ranks: expected numbers, got NaN; leave out the clips without a result, and report how many")
    below = (drawn < known[:, None]).sum(1)
    ties = (drawn == known[:, None]).sum(1)
    found: Ranks = below + generator.integers(0, ties + 1)
    return found


def tarp_ranks(truth: ArrayLike, draws: ArrayLike, references: ArrayLike, *, generator: np.random.Generator) -> Ranks:
    """Return the ranks `[n]` of the truths' distance to a reference among the draws' (Lemos et al. 2023).

    `truth` `[n,...]`, `draws` `[n,m,...]` and `references` `[n,...]`; distances are Euclidean. A reference may depend
    on the responses, never on the truth: another clip, an independent draw of the prior, a decoder's movie.

    >>> tarp_ranks([[0.0]], [[[1.0], [3.0]]], [[2.5]], generator=np.random.default_rng(0)).tolist()
    [2]
    """
    known, drawn, fixed = (np.asarray(value, dtype=np.float64) for value in (truth, draws, references))
    if known.shape != fixed.shape or drawn.shape[:1] + drawn.shape[2:] != known.shape:
        raise InputError(
            f"tarp: expected truths and references [n,...] and draws [n,m,...], got {known.shape}, {fixed.shape} and "
            f"{drawn.shape}; give each truth its draws and one reference"
        )
    count, many = drawn.shape[:2]
    own = np.square(known - fixed).reshape(count, -1).sum(1)
    each = zip(drawn, fixed, strict=True)
    other = np.stack([np.square(some - point).reshape(many, -1).sum(1) for some, point in each])
    return ranks(own, other, generator=generator)


def rank_curve(found: ArrayLike, draws: int, *, level: float = 0.95, points: int = 100) -> RankCurve:
    """Return the curve of ranks `[n]` among `draws` draws with its exact simultaneous band.

    The band has one pointwise level at up to `points` credibility levels, the largest with which the whole curve of n
    independent uniform ranks stays inside with probability `level` (Säilynoja, Bürkner & Vehtari 2022; the probability
    by recursion over Poisson increments, without simulation). Clips must be independent given the sampler.
    """
    seen = checked(found, draws)
    at = np.unique(np.linspace(1, draws, min(points, draws)).round().astype(int))
    counts = (seen[:, None] < at).sum(0)
    levels = at / (draws + 1)
    band = Band(len(seen), levels)
    low, high = band.limits(band.threshold(level))
    return RankCurve(levels, counts / len(seen), low / len(seen), high / len(seen), band.p_value(counts))


def uniformity(found: ArrayLike, draws: int, *, bins: int = 10) -> float:
    """Return the p value of the chi-square test that ranks `[n]` are uniform on 0…`draws`.

    In at most `bins` bins of nearly equal width, fewer where a bin would expect less than 5 ranks.

    >>> uniformity(np.arange(100), 99)
    1.0
    """
    from scipy.stats import chisquare

    seen = checked(found, draws)
    bins = min(bins, draws + 1, len(seen) // EXPECTED_IN_A_BIN)
    if bins < 2:
        raise InputError(
            f"uniformity: expected at least {2 * EXPECTED_IN_A_BIN} ranks, got {len(seen)}; take more clips"
        )
    edges = np.linspace(0, draws + 1, bins + 1).round()
    counts = np.histogram(seen + 0.5, edges)[0]
    return float(chisquare(counts, np.diff(edges) * len(seen) / (draws + 1)).pvalue)


def central_coverage(found: ArrayLike, draws: int, *, level: float = 0.9) -> Floats:
    """Return for each rank `[n]` whether the truth lies in the central `level` interval of its draws: 0, 1 or a share.

    The interval ends between draws; a rank at its end counts in part, so that the mean for uniform ranks is `level`
    exactly, whatever the number of draws.

    >>> central_coverage([0, 1, 2, 3], 3, level=0.75).tolist()
    [0.5, 1.0, 1.0, 0.5]
    """
    seen, cells = checked(found, draws), draws + 1
    low, high = cells * (1 - level) / 2, cells * (1 + level) / 2
    part: Floats = np.clip(np.minimum(seen + 1, high) - np.maximum(seen, low), 0.0, 1.0)
    return part


def checked(found: ArrayLike, draws: int) -> Ranks:
    """Return ranks `[n]` as integers; raises InputError for none, or for ranks outside 0…`draws`."""
    seen = np.asarray(found)
    if seen.ndim != 1 or not len(seen) or seen.min() < 0 or seen.max() > draws or (seen != seen.astype(np.int64)).any():
        raise InputError(f"ranks: expected at least one whole number of 0–{draws}, got {seen}; see `ranks`")
    return seen.astype(np.int64)


class Band:
    """Simultaneous band of the counts of n uniform values below each of some `levels` `[K]`."""

    def __init__(self, count: int, levels: Floats) -> None:
        from scipy.stats import binom, poisson

        self.count, every = count, np.arange(count + 1)
        self.below: Floats = binom.cdf(every, count, levels[:, None])
        self.above: Floats = binom.sf(every - 1, count, levels[:, None])
        steps = np.diff(np.concatenate([[0.0], levels, [1.0]]))
        self.steps: Floats = poisson.pmf(every, count * steps[:, None])
        self.total = float(poisson.pmf(count, count))

    def limits(self, threshold: float) -> tuple[Ranks, Ranks]:
        """Return the least and greatest counts `[K]` whose two-sided pointwise p value is above `threshold`."""
        low = (self.below > threshold / 2).argmax(1)
        high = self.count - (self.above[:, ::-1] > threshold / 2).argmax(1)
        return low, high

    def probability(self, threshold: float) -> float:
        """Return the probability that all counts are within their limits.

        The counts are those of a Poisson process on [0,1] given its total (Moscovich & Nadler 2017).
        """
        low, high = self.limits(threshold)
        every, state = np.arange(self.count + 1), np.eye(1, self.count + 1)[0]
        for step, least, most in zip(self.steps, low, high, strict=False):
            state = np.convolve(state, step)[: self.count + 1]
            state *= (every >= least) & (every <= most)
        return float(state @ self.steps[-1][::-1]) / self.total

    def threshold(self, level: float) -> float:
        """Return the largest pointwise p value at which the probability of the whole band is at least `level`."""
        small, large = 0.0, 1.0 - level
        for _ in range(40):
            middle = (small + large) / 2
            small, large = (middle, large) if self.probability(middle) >= level else (small, middle)
        return small

    def p_value(self, counts: Ranks) -> float:
        """Return the probability of a count anywhere as extreme as the most extreme of these `[K]`."""
        at = np.arange(len(counts))
        pointwise = 2 * np.minimum(self.below[at, counts], self.above[at, counts])
        # Equal tails must not differ by rounding.
        return 1.0 - self.probability(float(pointwise.min()) * (1 + 1e-9))
