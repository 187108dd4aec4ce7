"""Ablation of a prior as rows of a benchmark: one method with its prior, text or activity replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recon.data.measurement import Bins
from recon.errors import InputError
from recon.errors.ranges import Seed
from recon.methods.base import Method
from recon.metrics import METRICS, primary, ranked
from recon.metrics.metric import OF_MOVIES
from recon.problem.fidelities.base import Likelihood
from recon.study.ablation.trees import (
    GUIDANCE,
    decoded_text,
    guided,
    prior_only,
    setting,
    turned,
    values_of,
    with_gaussian,
    with_text,
)
from recon.study.settings import Named

NO_PRIOR = "no prior"
GAUSSIAN = "Gaussian prior"
NO_TEXT = "diffusion, no text"
TRUE_TEXT = "diffusion, true text"
FULL = "diffusion, decoded text"
SHUFFLED_TEXT = "diffusion, shuffled text"
TYPED_TEXT = "diffusion, typed text"
PRIOR = "prior only, decoded text"
TYPED_PRIOR = "prior only, typed text"
SILENT_PRIOR = "prior only, no text"
NULL = "shuffled activity"
MEAN = "mean"


@dataclass(frozen=True)
class Roles:
    """Labels of the rows that the numbers compare: the full method, its prior without the clip's activity, controls.

    `words`: what the prior is told, in a sentence; `shuffled`: the full method with another clip's words, or none.
    """

    full: str = FULL
    alone: str = PRIOR
    controls: tuple[str, ...] = (PRIOR, SILENT_PRIOR, NULL)
    words: str = "the decoded words"
    shuffled: str = SHUFFLED_TEXT


ROLES = {
    "decoded": Roles(),
    "typed": Roles(TYPED_TEXT, TYPED_PRIOR, (TYPED_PRIOR, SILENT_PRIOR, NULL), "the typed words", ""),
    "none": Roles(NO_TEXT, SILENT_PRIOR, (SILENT_PRIOR, NULL), "", ""),
}
"""Roles by the source of the full method's text."""


def similarities() -> list[str]:
    """Return the scores allowed as the primary one: higher is better, 1 is a perfect movie."""
    return [metric.name for metric in ranked(*OF_MOVIES) if metric.higher and metric.best == 1.0]


@dataclass(frozen=True)
class Ablation:
    """Settings of an ablation: the full `method`, which has a diffusion denoiser, and the methods compared with it.

    `encoders`, `fidelity`, `bins` and `seeds` are shared by all rows (`seeds` by all stochastic ones). `no_prior`: a
    method without prior. `reference`: further rows, label → method. `typed`: a caption typed by a person. `text`: what
    the full method is told: a caption decoded from the activity, the typed one, or nothing, without any row of text;
    "auto" decodes where the recording has captions. `prior_only`: method of the prior-only rows, given the same words;
    by default the full method with activity switched off. `sweep`: values of guidance, or of the method's own beta or
    scale; an empty list takes the declared values. `metric`: primary similarity to the true movie; `scores`: further
    columns of which the numbers are given, those of which higher is better.
    """

    method: Named | Method
    no_prior: Named | Method | None = None
    typed: str | None = None
    text: Literal["auto", "decoded", "typed", "none"] = "auto"
    encoders: tuple[str, ...] = ()
    fidelity: Named | Likelihood = field(default_factory=lambda: {"name": "poisson"})
    bins: Bins = 1
    seeds: tuple[Seed, ...] = ()
    reference: Mapping[str, Named | Method] = field(default_factory=dict)
    prior_only: Named | Method | None = None
    sweep: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    metric: str = "video_correlation"
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, method in (("method", self.method), ("prior_only", self.prior_only)):
            if method is not None and not list(guided(_settings(method))):
                raise InputError(
                    f"{key}: expected a method with `denoiser: {{name: diffusion}}` at some depth, got "
                    f"{_settings(method).get('name')!r} without; give it one: an ablation replaces that prior"
                )
        if self.typed is None and self.text == "typed":
            raise InputError("typed: expected a caption for text typed, got none; write a sentence about some movie")
        if self.typed is not None and not self.typed.strip():
            raise InputError("typed: expected a caption, got an empty text; write a sentence about some movie")
        if self.metric not in similarities():
            raise InputError(
                f"metric: expected one of {', '.join(similarities())}, got {self.metric!r}; the numbers compare "
                "scores of at most 1, the higher the better"
            )
        if wrong := [name for name in self.scores if name not in METRICS or not METRICS[name].higher]:
            known = ", ".join(metric.name for metric in METRICS.values() if metric.higher)
            raise InputError(f"scores: expected names out of {known}, got {wrong}; correct them")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Reported scores, the primary one first."""
        return tuple(dict.fromkeys((self.metric, *primary(), *self.scores)))

    @property
    def tree(self) -> Named:
        """Settings of the full method."""
        return _settings(self.method)

    @property
    def roles(self) -> Roles:
        """The rows that the numbers compare."""
        return ROLES["decoded" if self.text == "auto" else self.text]

    @property
    def words(self) -> Named | None:
        """Text of the full method."""
        if self.text == "none":
            return None
        return self._typed if self.text == "typed" else decoded_text(self.tree)

    @property
    def full(self) -> dict[str, Any]:
        """The full method, conditioned on words decoded from the activity or typed, or on none."""
        return with_text(self.tree, self.words)

    @property
    def sweeps(self) -> dict[str, tuple[float, ...]]:
        """The values of each sweep: those given, or those that the method declares; guidance needs text."""
        silent = [GUIDANCE.path[-1]] if self.text == "none" else []
        chosen = {knob: values for knob, values in self.sweep.items() if knob not in silent}
        return {knob: values or values_of(self.tree, knob) for knob, values in chosen.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the benchmark, in the order of reports."""
        alone, full = prior_only(_settings(self.prior_only or self.method)), self.full
        rows = [self._row(NO_PRIOR, self.no_prior)] if self.no_prior is not None else []
        rows += [
            self._row(GAUSSIAN, with_gaussian(self.tree), draws=True),
            self._row(NO_TEXT, with_text(self.tree, None), draws=True),
            *self._told(),
            *([self._row(self.roles.alone, with_text(alone, self.words), draws=True)] if self.words else []),
            self._row(SILENT_PRIOR, with_text(alone, None), draws=True),
            self._row(NULL, full, draws=True, condition="wrong_clip"),
            self._row(MEAN, {"name": "mean"}),
        ]
        rows += [self._row(label, method) for label, method in self.reference.items()]
        return rows + [
            self._row(swept(knob, value), turned(full, knob, value), draws=True)
            for knob, values in self.sweeps.items()
            for value in values
        ]

    def _told(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the method with text."""
        given = with_text(self.tree, {"name": "given"})
        if self.roles.full == FULL:
            yield self._row(TRUE_TEXT, given, draws=True, words="true")
            yield self._row(FULL, self.full, draws=True)
            yield self._row(SHUFFLED_TEXT, given, draws=True, words="shuffled")
        if self.typed is not None and self.text != "none":
            yield self._row(TYPED_TEXT, with_text(self.tree, self._typed), draws=True)

    @property
    def _typed(self) -> dict[str, Any]:
        return {"name": "typed", "caption": self.typed}

    def curves(self) -> dict[str, list[str]]:
        """Return each sweep's row labels by ascending value, with the full method if it sets the knob."""
        found = {}
        for knob, values in self.sweeps.items():
            places, own = {value: swept(knob, value) for value in values}, setting(self.full, knob)
            if own is not None and own not in places:
                places[own] = self.roles.full
            found[knob] = [places[value] for value in sorted(places)]
        return found

    def _row(self, label: str, method: Named | Method, *, draws: bool = False, **given: str) -> dict[str, Any]:
        """Return a row; a stochastic one (`draws`) is run with all seeds."""
        shared = {"encoders": list(self.encoders), "fidelity": self.fidelity, "bins": self.bins}
        seeds = {"seeds": list(self.seeds)} if draws and self.seeds else {}
        return {"label": label, "method": method, **shared, **seeds, **given}


def _settings(method: Named | Method) -> Named:
    """Return a method's settings; raises InputError for an object that no settings build."""
    if isinstance(method, Mapping):
        return method
    raise InputError(
        f"method: expected one of this project, got {type(method).__name__}; an ablation exchanges the prior by its "
        "settings"
    )


def swept(knob: str, value: float) -> str:
    """Return the label of a row of a sweep.

    >>> swept("beta", 0.3)
    'beta 0.3'
    """
    return f"{knob} {value:g}"
