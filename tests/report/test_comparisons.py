"""Comparisons of all methods: against the functions for one pair, and their correction."""

from __future__ import annotations

import numpy as np
import pytest

from recon.metrics.statistics import holm, paired_difference
from recon.report.comparisons import comparisons

RNG = np.random.default_rng(5)
CLIPS = [f"clip{index}" for index in range(12)]
SCORES = {name: RNG.normal(level, 0.1, 12) for name, level in {"a": 0.5, "b": 0.6, "c": 0.52}.items()}
METHODS = [{"r": dict(zip(CLIPS, values, strict=True))} for values in SCORES.values()]


def test_each_pair_is_what_the_single_comparison_gives() -> None:
    (table,) = [entry["r"] for entry in comparisons(METHODS, ("r",))[:1]]
    assert table[0] is None
    singles = [paired_difference(SCORES[name], SCORES["a"], generator=np.random.default_rng(0)) for name in ("b", "c")]
    corrected = holm([single.p_value for single in singles])
    for entry, single, p in zip(table[1:], singles, corrected, strict=True):
        assert entry[0] == pytest.approx(single.difference)
        assert entry[1:3] == pytest.approx([single.low, single.high])
        assert entry[3] == pytest.approx(p)


def test_a_difference_turns_around_with_its_baseline() -> None:
    every = comparisons(METHODS, ("r",))
    one, other = every[0]["r"][1], every[1]["r"][0]
    assert one[:3] == pytest.approx([-other[0], -other[2], -other[1]])


def test_only_shared_clips_count() -> None:
    short = {"r": {clip: METHODS[1]["r"][clip] for clip in CLIPS[:5]}}
    table = comparisons([METHODS[0], short, {}], ("r",))[0]["r"]
    expected = np.mean([METHODS[1]["r"][clip] - METHODS[0]["r"][clip] for clip in CLIPS[:5]])
    assert table[1][0] == pytest.approx(expected)
    assert table[2] is None
