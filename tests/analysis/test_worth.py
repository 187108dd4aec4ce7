"""The worth of a text in neurons, on curves whose worth is known in closed form, and the sentences about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recon.analysis.worth.findings import WordFindings, suspicions, word_findings
from recon.analysis.worth.in_neurons import isotonic, worths
from recon.analysis.worth.rows import Population, Text, WordStudy
from recon.errors import InputError
from recon.metrics.statistics import bootstrap_interval
from recon.study.ablation.numbers import Scores

NEURONS = (16, 32, 64, 128, 256, 512, 1024)
SLOPE = 0.1
"""Score gained by every factor e of neurons without text."""
CLIPS = 12
METHOD = {"name": "diffpir", "denoiser": {"name": "diffusion"}}


def curve(count: int) -> float:
    return 0.2 + SLOPE * math.log(count)


def table(gain: float = 0.0) -> np.ndarray[Any, Any]:
    """Return scores `[L,n]` on a straight line in log neurons, clips apart from each other."""
    apart = np.random.default_rng(1).normal(0, 0.1, CLIPS)
    return np.array([[curve(count) + gain + own for own in apart] for count in NEURONS])


def found(none: np.ndarray[Any, Any], text: np.ndarray[Any, Any]) -> list[Any]:
    return worths(NEURONS, none, text, generator=np.random.default_rng(0))


@pytest.mark.parametrize("gain", [0.03, 0.1, -0.05])
def test_a_constant_gain_on_a_logarithmic_curve_multiplies_the_neurons(gain: float) -> None:
    inside = slice(1, 5)
    for count, one in list(zip(NEURONS, found(table(), table(gain)), strict=True))[inside]:
        expected = count * (math.exp(gain / SLOPE) - 1)
        assert (one.value, one.low, one.high) == pytest.approx((expected,) * 3), "all clips gain the same"


def test_what_lies_beyond_the_curve_without_text_is_a_limit() -> None:
    better, worse = found(table(), table(0.1)), found(table(), table(-0.1))
    assert better[-1].value == better[-1].low == math.inf and math.isfinite(better[0].value)
    assert worse[0].value == worse[0].high == -math.inf and math.isfinite(worse[-1].value)


def test_the_interval_is_that_of_the_gain_over_clips() -> None:
    none = np.repeat(np.array([[curve(count)] for count in NEURONS]), CLIPS, axis=1)
    gains = np.random.default_rng(2).normal(0.04, 0.03, CLIPS)
    at = found(none, none + gains)[2]
    ends = bootstrap_interval(gains, generator=np.random.default_rng(3))
    expected = [64 * (math.exp(gain / SLOPE) - 1) for gain in (gains.mean(), *ends)]
    assert at.value == pytest.approx(expected[0])
    assert [at.low, at.high] == pytest.approx(expected[1:], rel=0.1)
    assert at.low < at.value < at.high


def test_an_unlucky_draw_of_neurons_that_all_texts_share_is_worth_nothing() -> None:
    none = table()
    none[3] -= 0.2
    same = found(none, none)
    assert [(one.value, one.low, one.high) for one in same] == [(0.0, 0.0, 0.0)] * len(NEURONS)
    flat = isotonic(none.mean(1)[None])[0]
    assert np.all(np.diff(flat) >= 0) and flat[2] == pytest.approx(none[2:4].mean())


def test_one_clip_has_no_interval() -> None:
    (at, *_) = found(table()[:, :1], table(0.05)[:, :1])
    assert at.value == pytest.approx(16 * (math.exp(0.5) - 1)) and math.isnan(at.low)
    assert at.reason == "one clip: no interval"


def study(**changed: Any) -> WordStudy:
    return WordStudy(METHOD, neurons=NEURONS, coverage=0.3, **changed)


def synthetic(gains: dict[Text, float], *, noise: float = 0.01, clips: int = CLIPS, up: int = 1) -> Scores:
    """Return scores of all rows: a straight line in log neurons plus the gain of each text, noisy over clips."""
    draws, chosen = np.random.default_rng(4), study()
    level = {one: curve(one.count or 300) for one in chosen.populations}
    return {
        one.label(text): {
            f"{clip}": up * (level[one] + gains.get(text, 0.0) + draws.normal(0, noise)) for clip in range(clips)
        }
        for one in chosen.populations
        for text in chosen.texts
    }


def findings(metric: str, gains: dict[Text, float], **how: Any) -> WordFindings:
    return word_findings(metric, study(), synthetic(gains, **how))


def test_sentences_name_text_neurons_and_score() -> None:
    gains: dict[Text, float] = {"true without place": 0.047, "true with place": 0.5, "wrong": -0.5, "decoded": -0.02}
    decoded, without, place, wrong = findings("video_correlation", gains, noise=0.0).sentences
    assert (
        without == "A true sentence without place is worth 38 more neurons at 64 (95 % interval 38 to 38) by video r."
    )
    assert decoded == "A decoded sentence costs 12 neurons at 64 (worth: 95 % interval −12 to −12) by video r."
    assert place == (
        "With 64 neurons, a true sentence with place gives more than 1024 give without text by video r (worth: 95 % "
        "interval > 960 to > 960)."
    )
    assert wrong == (
        "With 64 neurons, a wrong sentence gives less than 16 give without text by video r (worth: 95 % interval < −48 "
        "to < −48)."
    )


def test_a_part_of_the_screen_has_a_difference_and_no_worth() -> None:
    part = [one for one in findings("ssim", {"decoded": 0.1}, noise=0.0).scores if one.population.coverage < 1]
    assert [one.text for one in part] == list(study().texts) and all(one.worth is None for one in part)
    assert part[0].difference is None and part[1].difference and part[1].difference.value == pytest.approx(0.1)


def test_harm_is_named_where_its_interval_lies_below_no_text() -> None:
    gains: dict[Text, float] = {"wrong": -0.1, "decoded": 0.1, "true without place": 0.1, "true with place": 0.1}
    (said,) = findings("ssim", gains).harm
    assert said.startswith("A wrong sentence does harm by SSIM with 16, 32, 64, ") and ", and with 30 % of the" in said
    assert "most with " in said and "12 clips" in said
    assert not findings("ssim", {}, noise=0.0).harm


def test_a_score_of_which_lower_is_better_is_turned() -> None:
    found = findings("lpips", {"decoded": 0.047, "wrong": -0.1}, noise=0.0, up=-1)
    assert found.sentences[0].startswith("A decoded sentence is worth 38 more neurons at 64") and len(found.harm) == 1
    assert found.harm[0].startswith("A wrong sentence does harm by LPIPS")


@pytest.mark.parametrize(("judge", "named"), [(-0.05, 1), (0.05, 0)])
def test_a_text_that_raises_video_r_while_judge_r_falls_is_named(judge: float, named: int) -> None:
    by = [findings("video_correlation", {"wrong": 0.1}), findings("judge_correlation", {"wrong": judge})]
    said = [line for line in suspicions(by) if line.startswith("A wrong sentence raises video r while judge r falls")]
    assert len(said) == named
    assert all("with 16, 32, 64, 128, 256, 512 and 1024 neurons, and with 30 % of the screen" in line for line in said)
    assert suspicions(by[:1]) == []


def test_a_score_that_no_clip_has_is_undefined_with_a_reason() -> None:
    empty = {label: dict.fromkeys(own, math.nan) for label, own in synthetic({}).items()}
    found = word_findings("ssim", study(), empty)
    assert found.sentences[0].startswith("A decoded sentence has no known worth at 64 by SSIM: there is no clip")
    assert not found.harm and all(math.isnan(one.mean.value) and one.mean.reason for one in found.scores)


def test_rows_hold_text_words_and_neurons() -> None:
    rows = {row["label"]: row for row in study(draw=3).rows()}
    assert len(rows) == 8 * 5
    none, wrong = rows["64 neurons, no text"], rows["30 % of the screen, wrong text"]
    without = rows["64 neurons, true text without place"]
    assert "text" not in none["method"]["denoiser"] and none["words"] == "none"
    assert none["population"] == {"count": 64, "coverage": 1.0, "seed": 3}
    assert without["method"]["denoiser"]["text"] == {"name": "given", "place": False} and without["words"] == "true"
    assert wrong["method"]["denoiser"]["text"] == {"name": "given", "place": True} and wrong["words"] == "shuffled"
    assert wrong["population"] == {"count": 0, "coverage": 0.3, "seed": 3}
    decoded = {"name": "decoded", "reader": "contrastive"}
    made = WordStudy({**METHOD, "denoiser": {"name": "diffusion", "text": decoded}}).rows()
    assert made[1]["method"]["denoiser"]["text"] == decoded and made[1]["words"] == "none"


def refused(**changed: Any) -> Callable[[], WordStudy]:
    return lambda: WordStudy(**{"method": METHOD, **changed})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (refused(method={"name": "ridge"}), "method: expected settings with a denoiser that takes text"),
        (refused(texts=("decoded",)), "texts: expected none and others, each once, got decoded"),
        (refused(neurons=(32, 16)), r"neurons: expected two or more ascending numbers, got \[32, 16\]"),
        (refused(scores=("videor",)), r"scores: expected names out of video_correlation, .*got \['videor'\]"),
    ],
    ids=("method", "texts", "neurons", "scores"),
)
def test_what_cannot_be_studied_is_refused(make: Callable[[], WordStudy], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_a_population_is_titled() -> None:
    assert Population(coverage=0.125).title == "12.5 % of the screen"
