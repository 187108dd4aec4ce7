"""Receptive-field sum: each response adds its neuron's receptive field, from the encoder (Yoshida & Ohki 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors.ranges import Count
from recon.methods.facts import Sees, Strength
from recon.methods.linear.decode import decoded_once
from recon.methods.linear.encoder_gradients import linear_model
from recon.methods.linear.lags import Lags, Scaling, training_pairs
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State

EVERY = 8
"""Subsampling for the gain: every eighth training trial."""


@dataclass(frozen=True)
class FieldSum:
    """movie(t) = m + g·Σ_n (y_n(t+lag) − offset_n)/variance_n · field_n(lag): the linear sum of reverse filters.

    Fields, offsets and noise variances come from the encoder's linear model. The gain g is fitted by least squares on
    training trials. Overlap of fields is ignored; `optimal_linear` accounts for it.
    """

    title: ClassVar[str] = "receptive-field sum"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=1, context=True)
    sees: ClassVar[Sees] = Sees(
        responses=True, learnt=("receptive fields of the encoder", "gain and noise from training responses")
    )
    separable: ClassVar[bool] = True

    lags: Lags = field(default_factory=lambda: Lags(0, 14, 5))
    samples: Count = 3
    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> FieldSum:
        """Measure the fields, then the least-squares gain."""

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            model = linear_model(training, samples=self.samples)
            scaling = model.noise_scaling()
            reverse = (model.on_bases(self.lags) / scaling.std[:, None, None]).flatten(0, 1)
            weights = reverse * _gain(training, reverse, self.lags, scaling, mean=model.mean)
            learnt = {"weights": weights, "mean": model.mean, "neurons": training.neurons}
            return learnt | {"scale_mean": scaling.mean, "scale_std": scaling.std}

        uses = ("neurons", "encoders")
        return replace(
            self,
            artefact=training.artefact("field_sum", replace(self, artefact=None), learn, code=[__name__], uses=uses),
        )

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        yield from decoded_once(self, problem, state, name="field_sum")


def _gain(training: TrainingSet, reverse: Tensor, lags: Lags, scaling: Scaling, *, mean: Tensor) -> float:
    """Return Σ⟨frame − m, decoded⟩ / Σ‖decoded‖² over every eighth training trial."""
    over, under = 0.0, 0.0
    for features, frames in islice(training_pairs(training, lags=lags, scaling=scaling), 0, None, EVERY):
        decoded = features @ reverse
        over += float(((frames - mean) * decoded).sum())
        under += float((decoded**2).sum())
    return over / max(under, 1e-12)
