"""The three plain numbers: known answers, undefined ones, and what they warn of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recon.metrics.statistics import bootstrap_ratio
from recon.study.ablation.numbers import Number, difference, findings, survives, verdict, warnings
from recon.study.ablation.rows import FULL, GAUSSIAN, MEAN, NO_TEXT, NULL, PRIOR, ROLES, SHUFFLED_TEXT, SILENT_PRIOR

CLIPS = [f"{index}" for index in range(12)]
LEVEL = np.random.default_rng(1).normal(0.1, 0.05, len(CLIPS))
"""Score of the mean frame on every clip."""
ABOVE = {FULL: 0.4, GAUSSIAN: 0.3, SHUFFLED_TEXT: 0.35, PRIOR: 0.1, SILENT_PRIOR: 0.01, NULL: 0.0, MEAN: 0.0}


def world(**above: float) -> dict[str, dict[str, float]]:
    """Return scores that are those of the mean frame and a constant, so that every number is known."""
    return {label: dict(zip(CLIPS, LEVEL + more, strict=True)) for label, more in (ABOVE | above).items()}


def test_known_answers() -> None:
    found = findings("ssim", world())
    expected = {"gain": 0.1, "survives": 0.25, "sensitivity": 0.05}
    for name, value in expected.items():
        number = getattr(found, name)
        assert (number.value, number.low, number.high) == pytest.approx((value, value, value))
        assert (number.clips, number.reason) == (12, "")
    assert {label: number.value for label, number in found.controls.items()} == pytest.approx(
        {PRIOR: 0.1, SILENT_PRIOR: 0.01, NULL: 0.0}
    )
    assert found.differences[MEAN].value == pytest.approx(-0.3) and GAUSSIAN not in found.differences


def test_a_ratio_of_means_is_no_mean_of_ratios_and_its_interval_covers_it() -> None:
    generator = np.random.default_rng(2)
    bottom = generator.uniform(0.2, 1.0, 200)
    top = 0.3 * bottom + generator.normal(0, 0.1, 200)
    low, high = bootstrap_ratio(top, bottom, generator=np.random.default_rng(0))
    ratio = top.mean() / bottom.mean()
    residual = (top - ratio * bottom).std() / bottom.mean() / math.sqrt(200)  # delta method
    assert (low, high) == pytest.approx((ratio - 1.96 * residual, ratio + 1.96 * residual), abs=0.15 * residual)
    assert all(map(math.isnan, bootstrap_ratio([1.0, np.nan], [1.0, 1.0], generator=np.random.default_rng(0))))
    with pytest.raises(ValueError, match="two lists of equal length"):
        bootstrap_ratio([1.0], [1.0, 2.0], generator=np.random.default_rng(0))


def test_a_clip_without_a_score_is_left_out_of_all_sides() -> None:
    scores = world()
    scores[MEAN]["3"] = math.nan
    scores[PRIOR]["4"] = 100.0
    del scores[FULL]["4"]
    number = survives(scores)
    assert (number.value, number.clips) == (pytest.approx(0.25), 10)
    assert difference(scores, FULL, GAUSSIAN).clips == 11


@pytest.mark.parametrize(("above", "ends"), [(0.0, r"\+0.000 to \+0.000"), (-0.2, r"-0.200 to -0.200")])
def test_a_share_of_nothing_is_undefined(above: float, ends: str) -> None:
    number = survives(world(**{FULL: above}))
    assert math.isnan(number.value) and number.clips == 12
    assert f"undefined: the full method is not significantly above the mean frame ({above:+.3f}, 95 %" in str(number)


def test_an_uncertain_denominator_leaves_the_share_undefined() -> None:
    scores = world()
    scores[FULL] = {clip: scores[MEAN][clip] + (0.5 if index % 2 else -0.45) for index, clip in enumerate(CLIPS)}
    found = findings("ssim", scores)
    assert "not significantly above" in found.survives.reason
    assert found.warnings[0].startswith("The fraction that survives without activity is undefined: the full method is")


def test_a_mean_frame_without_scores_is_said_and_is_not_taken_for_zero() -> None:
    scores = world()
    scores[MEAN] = dict.fromkeys(CLIPS, math.nan)
    found = findings("video_correlation", scores)
    assert str(found.survives) == "undefined: “mean” has no score on any clip"
    assert all("undefined: “mean” has no score on any clip" in said for said in found.verdicts)
    assert found.gain.value == pytest.approx(0.1) and not found.warnings


def test_one_clip_has_no_interval() -> None:
    scores = {label: {"0": own["0"]} for label, own in world().items()}
    found = findings("ssim", scores)
    assert str(found.gain) == "+0.100 (one clip: no interval; 1 clip)"
    assert "one clip has no interval" in found.survives.reason
    assert "hence inconclusive" in found.verdicts[0]
    assert found.warnings[0].startswith("1 clip: with fewer than 6")


@pytest.mark.parametrize(("clips", "few"), [(2, True), (5, True), (6, False)])
def test_few_clips_show_nothing_and_that_is_said(clips: int, few: bool) -> None:
    scores = {label: {clip: own[clip] for clip in CLIPS[:clips]} for label, own in world().items()}
    said = findings("ssim", scores).warnings
    assert any(warning.startswith(f"{clips} clips: with fewer than 6 no test") for warning in said) is few


def test_words_about_controls() -> None:
    assert verdict(NULL, Number(0.01, -0.01, 0.03, 9)).endswith("at most +0.030 (95 %), below the margin of +0.05")
    assert verdict(NULL, Number(0.01, -0.01, 0.06, 9)).endswith("not below the margin of +0.05")


def test_warnings_come_where_they_must_and_only_there() -> None:
    good, fine = Number(0.1, 0.05, 0.15, 9), Number(0.01, -0.01, 0.03, 9)
    assert warnings(good, Number(0.4, 0.3, 0.6, 9), {NULL: fine}) == []
    (share,) = warnings(good, Number(0.6, 0.4, 0.8, 9), {})
    assert share.startswith("60% of the full method's gain")
    (harm,) = warnings(Number(-0.1, -0.15, -0.05, 9), fine, {})
    assert "0.100 below the same method with a Gaussian prior (95 % 0.050 to 0.150)" in harm
    assert not warnings(Number(-0.1, -0.25, 0.01, 9), fine, {})
    loud, wide = Number(0.2, 0.1, 0.3, 9), Number(0.0, -0.1, 0.1, 9)
    said = warnings(good, fine, {PRIOR: loud, SILENT_PRIOR: loud, NULL: wide})
    assert ["the decoded words" in said[0], "without any activity" in said[1]] == [True, True]
    assert "+0.100 is not ruled out: too few clips" in said[2]


def test_without_captions_the_prior_without_text_is_the_full_method() -> None:
    scores = {NO_TEXT if label == FULL else label: own for label, own in world().items() if label != PRIOR}
    found = findings("ssim", scores, ROLES["none"])
    assert (found.gain.value, found.survives.value) == pytest.approx((0.1, 0.025))
    assert list(found.controls) == [SILENT_PRIOR, NULL] and found.sensitivity.reason == "no row has other words"
    strong = {**scores, SILENT_PRIOR: scores[NO_TEXT]}
    assert any("survives with the prior alone" in text for text in findings("ssim", strong, ROLES["none"]).warnings)
