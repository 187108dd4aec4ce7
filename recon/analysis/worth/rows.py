"""A method with a prior, told several texts, with several numbers of neurons: rows of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from recon.data.measurement import Bins
from recon.errors import InputError, listed
from recon.errors.ranges import Count, Part, Seed, Some
from recon.metrics import METRICS
from recon.problem.fidelities.base import Likelihood
from recon.study.ablation.trees import decoded_text, guided, with_text
from recon.study.settings import Named

Text = Literal["none", "decoded", "true without place", "true with place", "wrong"]
TEXTS: tuple[Text, ...] = ("none", "decoded", "true without place", "true with place", "wrong")
NONE: Text = "none"
TITLES: Mapping[Text, str] = {
    "none": "no text",
    "decoded": "decoded text",
    "true without place": "true text without place",
    "true with place": "true text with place",
    "wrong": "wrong text",
}
"""Texts in the labels of rows."""
WHOLE = 1.0


@dataclass(frozen=True)
class Population:
    """Neurons of some rows: `count` of them all over the screen, or all in a part `coverage` of it."""

    count: int = 0
    coverage: float = WHOLE

    @property
    def title(self) -> str:
        """The neurons in words.

        >>> Population(64).title, Population(coverage=0.3).title
        ('64 neurons', '30 % of the screen')
        """
        return f"{self.count} neurons" if self.count else f"{100 * self.coverage:g} % of the screen"

    def label(self, text: Text) -> str:
        """Return the label of the row with a text.

        >>> Population(64).label("wrong")
        '64 neurons, wrong text'
        """
        return f"{self.title}, {TITLES[text]}"


@dataclass(frozen=True)
class WordStudy:
    """The section `words`: a `method` with a prior that takes text, told each of `texts` at each number of `neurons`.

    `texts`: "none"; "decoded" from the activity, by the settings of the method's denoiser; "true without place" and
    "true with place", the clip's own captions (*oracle*); "wrong", another clip's, with place. `coverage`: also all
    neurons that look at this share of the screen; 1: no such rows. `scores`: columns compared, the first in the
    sentences. `encoders`, `fidelity`, `bins` and `seeds` are shared by all rows; `draw` is the seed of the neurons.
    """

    method: Named
    texts: tuple[Text, ...] = TEXTS
    neurons: Annotated[tuple[Count, ...], Some] = (16, 32, 64, 125, 250, 500, 1000)
    coverage: Part = WHOLE
    encoders: tuple[str, ...] = ()
    fidelity: Named | Likelihood = field(default_factory=lambda: {"name": "poisson"})
    bins: Bins = 1
    seeds: tuple[Seed, ...] = ()
    draw: Seed = 0
    scores: Annotated[tuple[str, ...], Some] = ("video_correlation", "ssim", "judge_correlation")

    def __post_init__(self) -> None:
        if not list(guided(self.method)):
            raise InputError(
                "method: expected settings with a denoiser that takes text at some depth, got none; give the method "
                "`denoiser: {name: diffusion}`"
            )
        if problems := list(self._problems()):
            raise listed(problems, where="words")

    def _problems(self) -> Iterator[str]:
        if NONE not in self.texts or len(set(self.texts)) < max(len(self.texts), 2):
            yield f"texts: expected none and others, each once, got {', '.join(self.texts)}; correct them"
        if list(self.neurons) != sorted(set(self.neurons)) or len(self.neurons) < 2:
            yield f"neurons: expected two or more ascending numbers, got {list(self.neurons)}; sort them"
        if unknown := [name for name in self.scores if name not in METRICS]:
            yield f"scores: expected names out of {', '.join(METRICS)}, got {unknown}; correct them"

    @property
    def told(self) -> tuple[Text, ...]:
        """The texts but none."""
        return tuple(text for text in self.texts if text != NONE)

    @property
    def populations(self) -> tuple[Population, ...]:
        """The neurons of the rows: ascending numbers of them, then those of a part of the screen."""
        part = (Population(coverage=self.coverage),) if self.coverage < WHOLE else ()
        return (*(Population(count) for count in self.neurons), *part)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the benchmark: every text at the first number of neurons, and so on."""
        return [self._row(population, text) for population in self.populations for text in self.texts]

    def _row(self, population: Population, text: Text) -> dict[str, Any]:
        given, words = _given(text, decoded_text(self.method))
        return {
            "label": population.label(text),
            "method": with_text(self.method, given),
            "encoders": list(self.encoders),
            "fidelity": self.fidelity,
            "bins": self.bins,
            "words": words,
            "population": {"count": population.count, "coverage": population.coverage, "seed": self.draw},
            **({"seeds": list(self.seeds)} if self.seeds else {}),
        }


def _given(text: Text, decoded: Named) -> tuple[Named | None, str]:
    """Return the denoiser's text, and the words of the row."""
    if text in (NONE, "decoded"):
        return (None if text == NONE else decoded), "none"
    given = {"name": "given", "place": text != "true without place"}
    return given, "shuffled" if text == "wrong" else "true"


def quoted(neurons: Sequence[int], wanted: int = 64) -> int:
    """Return the number of neurons that sentences are about: the one nearest to 64, in ratio.

    >>> quoted([10, 100, 1000])
    100
    """
    return min(neurons, key=lambda count: max(count / wanted, wanted / count))
