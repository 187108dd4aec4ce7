"""Findings of a study of texts at several numbers of neurons: differences to no text, worth in neurons, sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recon.analysis.worth.in_neurons import Worth, worths
from recon.analysis.worth.rows import NONE, Population, Text, WordStudy, quoted
from recon.metrics import METRICS
from recon.metrics.metric import heading
from recon.metrics.statistics import bootstrap_interval
from recon.study.ablation.numbers import Number, Scores, difference, paired

SIMILARITY, FIDELITY = "video_correlation", "judge_correlation"
"""Likeness to the true movie, and to the activity according to an encoder that no method used."""
SAID: Mapping[Text, str] = {
    "none": "No sentence",
    "decoded": "A decoded sentence",
    "true without place": "A true sentence without place",
    "true with place": "A true sentence with place",
    "wrong": "A wrong sentence",
}
UNDEFINED = Worth(math.nan, math.nan, math.nan, "undefined")


@dataclass(frozen=True)
class TextScore:
    """A score of one text with one population: its mean, the difference to no text, and what the text is worth."""

    population: Population
    text: Text
    mean: Number
    difference: Number | None = None
    worth: Worth | None = None

    @property
    def label(self) -> str:
        """The row of the benchmark."""
        return self.population.label(self.text)


@dataclass(frozen=True)
class WordFindings:
    """Findings by one score: the scores of all rows, one sentence per text, and where texts do harm."""

    metric: str
    scores: Sequence[TextScore]
    sentences: Sequence[str]
    harm: Sequence[str]


def word_findings(metric: str, study: WordStudy, scores: Scores) -> WordFindings:
    """Return the findings by one score, from the scores of all rows (label → clip → score)."""
    found = [
        TextScore(population, text, mean_of(scores, population.label(text)))
        for population in study.populations
        for text in study.texts
    ]
    for text in study.told:
        worth = dict(zip(study.neurons, _worths(metric, study, text, scores), strict=True))
        found = [_compared(one, scores, worth.get(one.population.count)) if one.text == text else one for one in found]
    at = [one for one in found if one.population.count == quoted(study.neurons) and one.text != NONE]
    return WordFindings(metric, found, [sentence(metric, one, study.neurons) for one in at], list(harm(metric, found)))


def mean_of(scores: Scores, label: str) -> Number:
    """Return the mean of a row over clips, with its bootstrap interval."""
    (values,) = paired(scores, label)
    if not len(values):
        return Number(math.nan, math.nan, math.nan, 0, f"“{label}” has no score on any clip")
    low, high = bootstrap_interval(values, generator=np.random.default_rng(0))
    return Number(float(values.mean()), low, high, len(values), "" if len(values) > 1 else "one clip: no interval")


def _compared(one: TextScore, scores: Scores, worth: Worth | None) -> TextScore:
    return replace(one, difference=difference(scores, one.label, one.population.label(NONE)), worth=worth)


def _worths(metric: str, study: WordStudy, text: Text, scores: Scores) -> list[Worth]:
    """Return the worth of a text at each number of neurons, of the clips with a score in all of these rows."""
    numbers = [Population(count) for count in study.neurons]
    table = np.stack(paired(scores, *(one.label(told) for told in (NONE, text) for one in numbers)))
    if not table.shape[1]:
        return [replace(UNDEFINED, reason="there is no clip on which all of its rows have a score")] * len(numbers)
    none, told = (part * (1 if METRICS[metric].higher else -1) for part in np.split(table, 2))
    return worths(study.neurons, none, told, generator=np.random.default_rng(0))


def in_words(value: float, count: int, neurons: Sequence[int]) -> str:
    """Return the neurons that a text is worth at a number of them; beyond the curve without text as a limit.

    >>> neurons = (16, 64, 1000)
    >>> [in_words(value, 64, neurons) for value in (37.6, -4.2, math.inf, -math.inf)]
    ['38', '−4', '> 936', '< −48']
    """
    if math.isnan(value):
        return "–"
    limit = max(neurons) - count if value > 0 else min(neurons) - count
    shown = f"{limit if math.isinf(value) else round(value)}".replace("-", "−")
    return f"{'>' if value > 0 else '<'} {shown}" if math.isinf(value) else shown


def sentence(metric: str, one: TextScore, neurons: Sequence[int]) -> str:
    """Return what a text is worth at a number of neurons, in a sentence."""
    worth, count, text = one.worth or UNDEFINED, one.population.count, SAID[one.text]
    low, high = (in_words(end, count, neurons) for end in (worth.low, worth.high))
    known = worth.reason or f"95 % interval {low} to {high}"
    if math.isnan(worth.value):
        return f"{text} has no known worth at {count} {_by(metric)}: {worth.reason}."
    if math.isinf(worth.value):
        beyond = f"more than {max(neurons)}" if worth.value > 0 else f"less than {min(neurons)}"
        return f"With {count} neurons, {_lower(text)} gives {beyond} give without text {_by(metric)} (worth: {known})."
    amount = in_words(abs(worth.value), count, neurons)
    if worth.value < 0 and amount != "0":
        return f"{text} costs {amount} neurons at {count} (worth: {known}) {_by(metric)}."
    return f"{text} is worth {amount} more neurons at {count} ({known}) {_by(metric)}."


def harm(metric: str, found: Sequence[TextScore]) -> Iterator[str]:
    """Yield a sentence for each text that scores below no text, with its interval, with some neurons."""
    for text in dict.fromkeys(one.text for one in found):
        worse = {
            one.population: one.difference
            for one in found
            if one.text == text and one.difference is not None and _sign(metric, one.difference) < 0
        }
        if worse:
            most, number = max(worse.items(), key=lambda each: abs(each[1].value))
            at = f"; most with {most.title}" if len(worse) > 1 else ""
            yield f"{SAID[text]} does harm {_by(metric)} with {spelled(list(worse))}{at}: {number}."


def suspicions(found: Sequence[WordFindings]) -> list[str]:
    """Return a warning for each text that raises video r while judge r falls, and with which neurons.

    Such a text makes the movie more like the truth and less like the activity. Video r counts as raised where its
    interval lies above 0; judge r as fallen where its mean is below 0.
    """
    by = {one.metric: one.scores for one in found}
    if not {SIMILARITY, FIDELITY} <= by.keys():
        return []
    fallen: dict[Text, dict[Population, tuple[Number, Number]]] = {}
    for one, judged in zip(by[SIMILARITY], by[FIDELITY], strict=True):
        video, judge = one.difference, judged.difference
        if video is not None and judge is not None and _sign(SIMILARITY, video) > 0 and judge.value < 0:
            fallen.setdefault(one.text, {})[one.population] = (video, judge)
    return [_suspicion(text, numbers) for text, numbers in fallen.items()]


def _suspicion(text: Text, numbers: Mapping[Population, tuple[Number, Number]]) -> str:
    most, (video, judge) = min(numbers.items(), key=lambda each: each[1][1].value)
    return (
        f"{SAID[text]} raises video r while judge r falls with {spelled(list(numbers))}: the gain does not come from "
        f"the activity. With {most.title}, video r changes by {video}, judge r by {judge}."
    )


def spelled(populations: Sequence[Population]) -> str:
    """Return populations in words.

    >>> spelled([Population(16), Population(64), Population(coverage=0.3)])
    '16 and 64 neurons, and with 30 % of the screen'
    """
    numbers = [f"{one.count}" for one in populations if one.count]
    joined = " and ".join(filter(None, [", ".join(numbers[:-1]), *numbers[-1:]]))
    parts = [one.title for one in populations if not one.count]
    return ", and with ".join([f"{joined} neurons"] * bool(numbers) + parts)


def _sign(metric: str, number: Number) -> int:
    """Return 1 for an improvement whose interval excludes 0, −1 for harm, 0 where the interval includes 0."""
    up = 1 if METRICS[metric].higher else -1
    return up * (int(number.low > 0) - int(number.high < 0))


def _by(metric: str) -> str:
    return f"by {heading(METRICS[metric].title)}"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
