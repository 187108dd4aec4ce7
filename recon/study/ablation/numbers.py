"""Findings of an ablation: three numbers, controls and warnings, with clips as the statistical unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.metrics.statistics import bootstrap_interval, bootstrap_ratio
from recon.study.ablation.rows import GAUSSIAN, MEAN, NULL, PRIOR, ROLES, SILENT_PRIOR, TYPED_PRIOR, Roles

Scores = Mapping[str, Mapping[str, float]]
"""Row label → clip → score; NaN or absent where undefined."""

MARGIN = 0.05
"""Tolerated score above the mean frame of a row without the clip's activity."""
HALF = 0.5
FEWEST = 6
"""Minimum number of clips for p < 0.05 in a sign-flip test: 2/2⁶ = 0.031."""
DECODED = ROLES["decoded"]
_SOURCE = {
    PRIOR: "the decoded words and the prior suffice for that",
    TYPED_PRIOR: "the typed words and the prior suffice for that, without any activity",
    SILENT_PRIOR: "the prior suffices for that, without any activity",
    NULL: "responses to another clip suffice for that",
}


@dataclass(frozen=True)
class Number:
    """An estimate over clips with its 95 % interval; NaN with a `reason` where undefined."""

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
    """Findings of an ablation by one score, with differences to the mean frame and to the Gaussian prior."""

    metric: str
    gain: Number
    survives: Number
    sensitivity: Number
    controls: Mapping[str, Number]
    differences: Mapping[str, Number]
    verdicts: Sequence[str]
    warnings: Sequence[str]


def findings(metric: str, scores: Scores, roles: Roles = DECODED) -> Findings:
    """Return the findings from the scores of all rows."""
    controls = {label: difference(scores, label, MEAN) for label in roles.controls}
    against = {label: difference(scores, label, GAUSSIAN) for label in scores if label != GAUSSIAN}
    gain, left = difference(scores, roles.full, GAUSSIAN), survives(scores, roles)
    told = difference(scores, roles.full, roles.shuffled) if roles.shuffled else _undefined("no row has other words")
    return Findings(
        metric,
        gain,
        left,
        told,
        controls,
        against,
        [verdict(label, number) for label, number in controls.items()],
        warnings(gain, left, controls, words=roles.words),
    )


def difference(scores: Scores, first: str, second: str) -> Number:
    """Return the mean of first − second over the clips on which both are defined, with its bootstrap interval."""
    one, other = paired(scores, first, second)
    if not len(one):
        return _undefined(_missing(scores, first, second))
    low, high = bootstrap_interval(one - other, generator=np.random.default_rng(0))
    return Number(float((one - other).mean()), low, high, len(one), "" if len(one) > 1 else "one clip: no interval")


def survives(scores: Scores, roles: Roles = DECODED) -> Number:
    """Return the fraction of the full method's gain over the mean frame that survives without activity.

    [q(prior only, same words) − q(mean)] / [q(full) − q(mean)], a ratio of means over clips with a bootstrap interval
    of the ratio. Undefined unless the interval of the denominator lies above 0.
    """
    prior, full, mean = paired(scores, roles.alone, roles.full, MEAN)
    if not len(full):
        return _undefined(_missing(scores, roles.alone, roles.full, MEAN))
    low, high = bootstrap_interval(full - mean, generator=np.random.default_rng(0))
    if not low > 0:
        ends = "one clip has no interval" if math.isnan(low) else f"95 % {low:+.3f} to {high:+.3f}"
        above = f"{(full - mean).mean():+.3f}, {ends}"
        return _undefined(f"the full method is not significantly above the mean frame ({above})", len(full))
    share = float((prior - mean).mean() / (full - mean).mean())
    ends_of_share = bootstrap_ratio(prior - mean, full - mean, generator=np.random.default_rng(0))
    return Number(share, *ends_of_share, len(full))


def verdict(label: str, number: Number) -> str:
    """Return a sentence on whether a row without the clip's activity stays near the mean frame."""
    if math.isnan(number.value):
        return f"{label}, against the mean frame: {number}"
    if math.isnan(number.high):
        return f"{label}: {number.value:+.3f} against the mean frame; {number.reason}, hence inconclusive"
    bound = f"{label}: {number.value:+.3f} against the mean frame, at most {number.high:+.3f} (95 %)"
    return f"{bound}, {'below' if number.high < MARGIN else 'not below'} the margin of {MARGIN:+.2f}"


def too_few(clips: int) -> list[str]:
    """Return a warning where there are too few clips for any test."""
    if not 0 < clips < FEWEST:
        return []
    return [
        f"{clips} clip{'s' * (clips != 1)}: with fewer than {FEWEST} no test can reach significance, "
        "however narrow the interval; draw no conclusions from the numbers, and use at least 20 clips for a claim."
    ]


def warnings(gain: Number, left: Number, controls: Mapping[str, Number], *, words: str = DECODED.words) -> list[str]:
    """Return warnings where a reconstruction owes more to the prior than to the activity, or clips are too few."""
    found = too_few(gain.clips)
    if left.value > HALF:
        found.append(
            f"{left.value:.0%} of the full method's gain over the mean frame survives with "
            f"{words or 'the prior'} alone: the reconstruction owes more to the prior than to the activity."
        )
    if math.isnan(left.value) and left.clips:
        found.append(f"The fraction that survives without activity is undefined: {left.reason}.")
    if gain.high < 0:
        found.append(
            f"The learnt prior is harmful: the full method is {-gain.value:.3f} below the same method with a Gaussian "
            f"prior (95 % {-gain.high:.3f} to {-gain.low:.3f})."
        )
    for label, number in controls.items():
        against = f"“{label}” scores {number.value:+.3f} against the mean frame"
        if number.value > MARGIN:
            found.append(f"{against}: {_SOURCE[label]}.")
        elif number.high >= MARGIN:
            found.append(f"{against}, and {number.high:+.3f} is not ruled out: too few clips to exclude an effect.")
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
