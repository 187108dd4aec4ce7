"""Ridge regression from lagged responses to frames (Stanley, Li & Dan 1999; Warland, Reinagel & Meister 1997)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Folds, NonNegative, Positive, Some
from recon.methods.facts import PAIRS, Sees, Strength
from recon.methods.linear.decode import decoded_once
from recon.methods.linear.lags import Lags, measure_scaling, training_pairs
from recon.methods.linear.regression import regressed
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class Ridge:
    """movie(t) = m + Σ y(t+lag)·W(lag), W minimising squared error + penalty·‖W‖².

    The penalty, in units of the features' variance per training frame, is the best of `penalties` by `folds`-fold
    cross-validation over training trials. `root` decodes from square roots of responses. With `bands` each bump of the
    lags has its own penalty (banded ridge; Nunez-Elizalde, Huth & Gallant 2019): an entry holds one factor per bump,
    and cross-validation selects among all combinations of entry and penalty.
    """

    title: ClassVar[str] = "ridge regression"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=2)
    sees: ClassVar[Sees] = Sees(responses=True, learnt=(PAIRS,))
    separable: ClassVar[bool] = True

    lags: Lags = field(default_factory=Lags)
    penalties: Annotated[tuple[NonNegative, ...], Some] = (0.03, 0.1, 0.3, 1.0, 3.0)
    folds: Folds = 3
    root: bool = True
    bands: tuple[tuple[Positive, ...], ...] = ()
    artefact: Path | None = None

    def __post_init__(self) -> None:
        bumps = len(self.lags.kernels())
        wrong = [band for band in self.bands if len(band) != bumps or min(band) <= 0]
        if wrong:
            raise InputError(f"bands: expected {bumps} factors above 0, one per bump, got {wrong[0]}; correct them")

    def fit(self, training: TrainingSet) -> Ridge:
        """Select the penalty by cross-validation, then refit on all training trials."""

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            scaling = measure_scaling(training, root=self.root)
            pairs = training_pairs(training, lags=self.lags, scaling=scaling)
            learnt = regressed(pairs, self.penalties, folds=self.folds, bands=self.bands)
            return learnt | {"scale_mean": scaling.mean, "scale_std": scaling.std, "neurons": training.neurons}

        return replace(self, artefact=training.artefact("ridge", replace(self, artefact=None), learn, code=[__name__]))

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        yield from decoded_once(self, problem, state, name="ridge", root=self.root)
