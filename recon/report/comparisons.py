"""Paired comparisons of all methods over clips, Holm-corrected within each baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from recon.metrics.statistics import holm, paired_difference

Values = Mapping[str, float]
"""Score per clip, by the clip's name."""
Entry = list[float] | None
"""[difference, low, high, p] of a method and a baseline; None for fewer than two common clips."""


def comparisons(methods: Sequence[Mapping[str, Values]], keys: Sequence[str]) -> list[dict[str, list[Entry]]]:
    """Return, per baseline and score, the differences of all methods to the baseline.

    `methods` hold their scores by key. p is that of the sign-flip test, Holm-corrected over all methods compared with
    this baseline by this score.
    """
    tables = {key: _corrected([method.get(key, {}) for method in methods]) for key in keys}
    return [{key: tables[key][baseline] for key in keys} for baseline in range(len(methods))]


def _corrected(scores: Sequence[Values]) -> list[list[Entry]]:
    table: list[list[Entry]] = [[None] * len(scores) for _ in scores]
    for one, other in combinations(range(len(scores)), 2):
        table[one][other] = _entry(scores[other], scores[one])
        table[other][one] = _turned(table[one][other])
    for row in table:
        chances = holm([np.nan if entry is None else entry[3] for entry in row])
        for entry, chance in zip(row, chances, strict=True):
            if entry is not None:
                entry[3] = chance
    return table


def _entry(scores: Values, baseline: Values) -> Entry:
    clips = [clip for clip in baseline if clip in scores]
    if len(clips) < 2:
        return None
    first, second = ([values[clip] for clip in clips] for values in (scores, baseline))
    found = paired_difference(first, second, generator=np.random.default_rng(0))
    return [found.difference, found.low, found.high, found.p_value]


def _turned(entry: Entry) -> Entry:
    return None if entry is None else [-entry[0], -entry[2], -entry[1], entry[3]]
