"""The three plain numbers of an ablation, its controls and what they warn of; clips are the units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.metrics.statistics import bootstrap_interval, bootstrap_ratio
from recon.study.ablation.rows import FULL, GAUSSIAN, MEAN, NULL, PRIOR, SHUFFLED_TEXT, SILENT_PRIOR

Scores = Mapping[str, Mapping[str, float]]
"""Label of a row → clip → score; NaN, or no such clip, where it is undefined."""

MARGIN = 0.05
"""What a row without this clip's activity may score above the mean frame before it is said to know the clip."""
HALF = 0.5
FEWEST = 6
"""Clips with which a sign-flip test can reach p < 0.05 at all: 2/2⁶ = 0.031."""
CONTROLS = (PRIOR, SILENT_PRIOR, NULL)
"""Rows that do not see this clip's activity (the first: but for the words)."""
_SOURCE = {
    PRIOR: "the words that were decoded from the activity are enough for that, the rest is the prior's",
    SILENT_PRIOR: "the prior knows that much about these clips without any activity",
    NULL: "the activity of another clip is enough for that",
}


@dataclass(frozen=True)
class Number:
    """A number over clips, the ends of its 95 % interval, and why it is undefined, if it is (then it is NaN)."""

    value: float
    low: float
    high: float
    clips: int
    reason: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"undefined: {self.reason}"
        ends = self.reason if math.isnan(self.low) else f"95 % {self.low:+.3f} to {self.high:+.3f}"
        return f"{self.value:+.3f} ({ends}; {self.clips} clip{'s' * (self.clips != 1)})"


@dataclass(frozen=True)
class Findings:
    """What an ablation found by one score: three numbers, differences to the mean frame and to the Gaussian prior."""

    metric: str
    gain: Number
    survives: Number
    sensitivity: Number
    controls: Mapping[str, Number]
    differences: Mapping[str, Number]
    verdicts: Sequence[str]
    warnings: Sequence[str]


def findings(metric: str, scores: Scores) -> Findings:
    """Return what the scores of all rows say."""
    controls = {label: difference(scores, label, MEAN) for label in CONTROLS}
    against = {label: difference(scores, label, GAUSSIAN) for label in scores if label != GAUSSIAN}
    gain, left = difference(scores, FULL, GAUSSIAN), survives(scores)
    return Findings(
        metric,
        gain,
        left,
        difference(scores, FULL, SHUFFLED_TEXT),
        controls,
        against,
        [verdict(label, number) for label, number in controls.items()],
        warnings(gain, left, controls),
    )


def difference(scores: Scores, first: str, second: str) -> Number:
    """Return the mean of first − second over the clips on which both are defined, with its bootstrap interval."""
    one, other = paired(scores, first, second)
    if not len(one):
        return _undefined(_missing(scores, first, second))
    low, high = bootstrap_interval(one - other, generator=np.random.default_rng(0))
    return Number(float((one - other).mean()), low, high, len(one), "" if len(one) > 1 else "one clip: no interval")


def survives(scores: Scores) -> Number:
    """Return the share of what the full method adds to the mean frame that is there without activity.

    [q(prior only, decoded text) − q(mean)] / [q(full) − q(mean)], a ratio of means over clips, resampled as a ratio.
    It is undefined where the full method is not surely better than the mean frame: the denominator's interval does not
    lie above 0.
    """
    prior, full, mean = paired(scores, PRIOR, FULL, MEAN)
    if not len(full):
        return _undefined(_missing(scores, PRIOR, FULL, MEAN))
    low, high = bootstrap_interval(full - mean, generator=np.random.default_rng(0))
    if not low > 0:
        ends = "one clip has no interval" if math.isnan(low) else f"95 % {low:+.3f} to {high:+.3f}"
        above = f"{(full - mean).mean():+.3f}, {ends}"
        return _undefined(f"the full method is not surely above the mean frame ({above})", len(full))
    share = float((prior - mean).mean() / (full - mean).mean())
    ends_of_share = bootstrap_ratio(prior - mean, full - mean, generator=np.random.default_rng(0))
    return Number(share, *ends_of_share, len(full))


def verdict(label: str, number: Number) -> str:
    """Return in words whether a row that does not see this clip's activity stays near the mean frame."""
    if math.isnan(number.value):
        return f"{label}, against the mean frame: {number}"
    if math.isnan(number.high):
        return f"{label}: {number.value:+.3f} against the mean frame; {number.reason}, so that nothing is shown"
    bound = f"{label}: {number.value:+.3f} against the mean frame, at most {number.high:+.3f} (95 %)"
    return f"{bound}, {'below' if number.high < MARGIN else 'not below'} the allowed {MARGIN:+.2f}"


def warnings(gain: Number, left: Number, controls: Mapping[str, Number]) -> list[str]:
    """Return what a reader must know where a reconstruction owes more to the prior than to the activity."""
    found = []
    if 0 < gain.clips < FEWEST:
        found.append(
            f"{gain.clips} clip{'s' * (gain.clips != 1)}: with fewer than {FEWEST} no test can tell a difference from "
            "chance, however narrow its interval; read nothing into the numbers, and take 20 clips for a claim."
        )
    if left.value > HALF:
        found.append(
            f"{left.value:.0%} of what the full method adds to the mean frame is there when activity speaks through "
            "the decoded words alone: the reconstruction owes more to the prior than to the activity."
        )
    if math.isnan(left.value) and left.clips:
        found.append(f"What survives without activity cannot be told: {left.reason}.")
    if gain.high < 0:
        found.append(
            f"The learnt prior does harm: the full method is {-gain.value:.3f} below the same method with a Gaussian "
            f"prior (95 % {-gain.high:.3f} to {-gain.low:.3f})."
        )
    for label, number in controls.items():
        against = f"“{label}” scores {number.value:+.3f} against the mean frame"
        if number.value > MARGIN:
            found.append(f"{against}: {_SOURCE[label]}.")
        elif number.high >= MARGIN:
            found.append(f"{against}, and {number.high:+.3f} is not ruled out: too few clips to call that nothing.")
    return found


def paired(scores: Scores, *labels: str) -> list[NDArray[np.float64]]:
    """Return the scores of several rows on the clips on which all of them are defined."""
    clips = [clip for clip in scores[labels[0]] if all(clip in scores[label] for label in labels)]
    table = np.array([[scores[label][clip] for clip in clips] for label in labels], dtype=np.float64)
    return list(table[:, ~np.isnan(table).any(0)])


def _missing(scores: Scores, *labels: str) -> str:
    empty = [label for label in labels if not np.isfinite(list(scores[label].values())).any()]
    if empty:
        return f"“{empty[0]}” has no score on any clip"
    return f"there is no clip on which all of {', '.join(labels)} have a score"


def _undefined(reason: str, clips: int = 0) -> Number:
    return Number(math.nan, math.nan, math.nan, clips, reason)
