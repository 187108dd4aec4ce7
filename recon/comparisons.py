"""Every method against every other, clip by clip: differences, bootstrap intervals, sign-flip tests, Holm's correction.

All pairs share the same resamples and sign patterns, so that a hundred comparisons cost one matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.statistics import EXACT_PAIRS, holm

RESAMPLES = 10_000
FLIPS = 20_000
"""Random sign patterns, where there are too many clips to count all of them."""

Values = Mapping[str, float]
"""Score of every clip, by its name."""


def comparisons(methods: Sequence[Mapping[str, Values]], keys: Sequence[str]) -> list[dict[str, list[Any]]]:
    """Return for every method as baseline and every score a list over methods: what each has more than the baseline.

    `methods` hold their scores by key. An entry is [difference, low, high, p], with p corrected for the number of
    methods that are compared with this baseline by this score, or none where the two share fewer than two clips.
    """
    return [{key: _against(methods, baseline, key) for key in keys} for baseline in range(len(methods))]


def _against(methods: Sequence[Mapping[str, Values]], baseline: int, key: str) -> list[Any]:
    own = methods[baseline].get(key, {})
    found: list[list[float] | None] = [None] * len(methods)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, method in enumerate(methods):
        shared = tuple(sorted(set(own) & set(method.get(key, {}))))
        if index != baseline and len(shared) > 1:
            groups.setdefault(shared, []).append(index)
    for clips, members in groups.items():
        theirs = np.array([[methods[index][key][clip] - own[clip] for clip in clips] for index in members])
        for index, entry in zip(members, paired(theirs), strict=True):
            found[index] = entry
    corrected = holm([np.nan if entry is None else entry[3] for entry in found])
    return [entry and [*entry[:3], p] for entry, p in zip(found, corrected, strict=True)]


def paired(differences: NDArray[np.float64]) -> list[list[float]]:
    """Return [mean, low, high, p] of each row of differences (methods, clips): 95 % bootstrap, two-sided sign flips.

    >>> [round(value, 3) for value in paired(np.array([[1.0, 2.0, 3.0]]))[0]]
    [2.0, 1.0, 3.0, 0.25]
    """
    rng, clips = np.random.default_rng(0), differences.shape[1]
    counts = np.apply_along_axis(np.bincount, 1, rng.integers(0, clips, (RESAMPLES, clips)), minlength=clips)
    means = counts @ differences.T / clips
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    chance = _flipped(differences, rng)
    rows = np.stack([differences.mean(1), low, high, chance], 1)
    return [[float(value) for value in row] for row in rows]


def _flipped(differences: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return two-sided p values; all sign patterns are counted where they are few."""
    clips = differences.shape[1]
    exact = clips <= min(EXACT_PAIRS, 14)
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**clips)[:, None] >> np.arange(clips)) & 1)
    else:
        signs = 1.0 - 2.0 * rng.integers(0, 2, (FLIPS, clips))
    observed = np.abs(differences.sum(1)) - 1e-10 * np.abs(differences).sum(1)
    extreme = (np.abs(signs @ differences.T) >= observed).sum(0)
    chance: NDArray[np.float64] = extreme / len(signs) if exact else (extreme + 1) / (len(signs) + 1)
    return chance
