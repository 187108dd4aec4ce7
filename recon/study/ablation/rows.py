"""Ablation of a prior as rows of a benchmark: one method with its prior, text or activity replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recon.data.measurement import Bins
from recon.errors import InputError
from recon.errors.ranges import Seed
from recon.metrics import primary, ranked
from recon.metrics.metric import OF_MOVIES
from recon.study.ablation.trees import (
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
SILENT_PRIOR = "prior only, no text"
NULL = "shuffled activity"
MEAN = "mean"


def similarities() -> list[str]:
    """Return the scores allowed as the primary one: higher is better, 1 is a perfect movie."""
    return [metric.name for metric in ranked(*OF_MOVIES) if metric.higher and metric.best == 1.0]


@dataclass(frozen=True)
class Ablation:
    """Settings of an ablation: the full `method`, which has a diffusion denoiser, and the methods compared with it.

    `encoders`, `fidelity`, `bins` and `seeds` are shared by all rows (`seeds` by all stochastic ones). `no_prior`: a
    method without prior. `reference`: further rows, label → method. `typed`: a caption typed by a person. `prior_only`:
    method of the prior-only rows, given the same words; by default the full method with activity switched off. `sweep`:
    values of guidance, or of the method's own beta or scale; an empty list takes the declared values.
    `metric`: primary similarity to the true movie.
    """

    method: Named
    no_prior: Named
    typed: str
    encoders: tuple[str, ...] = ()
    fidelity: Named = field(default_factory=lambda: {"name": "poisson"})
    bins: Bins = 1
    seeds: tuple[Seed, ...] = ()
    reference: Mapping[str, Named] = field(default_factory=dict)
    prior_only: Named | None = None
    sweep: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    metric: str = "video_correlation"

    def __post_init__(self) -> None:
        for key, tree in (("method", self.method), ("prior_only", self.prior_only)):
            if tree is not None and not list(guided(tree)):
                raise InputError(
                    f"{key}: expected a method with `denoiser: {{name: diffusion}}` at some depth, got "
                    f"{tree.get('name')!r} without; give it one: an ablation replaces that prior"
                )
        if not self.typed.strip():
            raise InputError("typed: expected a caption, got an empty text; write a sentence about some movie")
        if self.metric not in similarities():
            raise InputError(
                f"metric: expected one of {', '.join(similarities())}, got {self.metric!r}; the numbers compare "
                "scores of at most 1, the higher the better"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Reported scores, the primary one first."""
        return tuple(dict.fromkeys((self.metric, *primary())))

    @property
    def full(self) -> dict[str, Any]:
        """The full method, conditioned on words decoded from the activity."""
        return with_text(self.method, decoded_text(self.method))

    @property
    def sweeps(self) -> dict[str, tuple[float, ...]]:
        """The values of each sweep: those given, or those that the method declares."""
        return {knob: values or values_of(self.method, knob) for knob, values in self.sweep.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the benchmark, in the order of reports."""
        full, words = self.full, decoded_text(self.method)
        alone = prior_only(self.prior_only or self.method)
        given = with_text(self.method, {"name": "given"})
        typed = with_text(self.method, {"name": "typed", "caption": self.typed})
        rows = [
            self._row(NO_PRIOR, self.no_prior),
            self._row(GAUSSIAN, with_gaussian(self.method), draws=True),
            self._row(NO_TEXT, with_text(self.method, None), draws=True),
            self._row(TRUE_TEXT, given, draws=True, words="true"),
            self._row(FULL, full, draws=True),
            self._row(SHUFFLED_TEXT, given, draws=True, words="shuffled"),
            self._row(TYPED_TEXT, typed, draws=True),
            self._row(PRIOR, with_text(alone, words), draws=True),
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

    def curves(self) -> dict[str, list[str]]:
        """Return each sweep's row labels by ascending value, with the full method if it sets the knob."""
        found = {}
        for knob, values in self.sweeps.items():
            places, own = {value: swept(knob, value) for value in values}, setting(self.full, knob)
            if own is not None and own not in places:
                places[own] = FULL
            found[knob] = [places[value] for value in sorted(places)]
        return found

    def _row(self, label: str, method: Named, *, draws: bool = False, **given: str) -> dict[str, Any]:
        """Return a row; a stochastic one (`draws`) is run with all seeds."""
        shared = {"encoders": list(self.encoders), "fidelity": dict(self.fidelity), "bins": self.bins}
        seeds = {"seeds": list(self.seeds)} if draws and self.seeds else {}
        return {"label": label, "method": dict(method), **shared, **seeds, **given}


def swept(knob: str, value: float) -> str:
    """Return the label of a row of a sweep.

    >>> swept("beta", 0.3)
    'beta 0.3'
    """
    return f"{knob} {value:g}"
