"""Optimal linear estimator from the encoder's receptive fields (Garasto et al. 2019; Warland et al. 1997)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors.ranges import Count, NonNegative
from recon.methods.facts import Sees, Strength
from recon.methods.linear.decode import decoded_once
from recon.methods.linear.encoder_gradients import LinearModel, linear_model
from recon.methods.linear.lags import Lags
from recon.methods.linear.regression import Moments, fold_moments, solved
from recon.methods.requirements import Needs
from recon.methods.training_set import TrainingSet
from recon.problem.problem import Problem
from recon.types import Iterate, State


@dataclass(frozen=True)
class OptimalLinear:
    """movie(t) = m + C_sf (C_ff + noise·N)⁻¹ (f − f̄), with f the lagged responses on raised-cosine bumps.

    Both covariances are *predicted* by the encoder's linear model for the training movies; N is the covariance of its
    independent noise in f. Recorded responses set only offsets, gains and noise variances, whereas ridge estimates all
    covariances from them. `noise` above 1 allows for correlated noise.
    """

    title: ClassVar[str] = "optimal linear estimator"
    strength: ClassVar[Strength | None] = None
    needs: ClassVar[Needs] = Needs(trials=2, context=True)
    sees: ClassVar[Sees] = Sees(
        responses=True,
        learnt=("receptive fields of the encoder", "statistics of training movies", "noise from training responses"),
    )
    separable: ClassVar[bool] = True

    lags: Lags = field(default_factory=Lags)
    noise: NonNegative = 1.0
    samples: Count = 3
    artefact: Path | None = None

    def fit(self, training: TrainingSet) -> OptimalLinear:
        """Measure the linear model, then solve for the estimator."""

        def learn(checkpoint: Path) -> dict[str, Tensor]:
            model = linear_model(training, samples=self.samples)
            folds = fold_moments(predicted_pairs(training, model, self.lags), 2)
            weights, mean = estimator(folds[0] + folds[1], model, self.lags, noise=self.noise)
            scaling = model.noise_scaling()
            learnt = {"weights": weights, "mean": mean, "neurons": training.neurons}
            return learnt | {"scale_mean": scaling.mean, "scale_std": scaling.std}

        uses = ("neurons", "encoders")
        return replace(
            self,
            artefact=training.artefact(
                "optimal_linear", replace(self, artefact=None), learn, code=[__name__], uses=uses
            ),
        )

    def __call__(self, problem: Problem, generator: torch.Generator, state: State | None = None) -> Iterator[Iterate]:
        """Yield the decoded movie once."""
        yield from decoded_once(self, problem, state, name="optimal_linear")


def predicted_pairs(training: TrainingSet, model: LinearModel, lags: Lags) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features of predicted responses, in units of their noise, and frames of each training trial."""
    scaling = model.noise_scaling()
    for trial in training.trials():
        frames = trial.movie[0].flatten(1)
        yield lags.apply(scaling.apply(model.predict(frames))), frames


def estimator(moments: Moments, model: LinearModel, lags: Lags, *, noise: float) -> tuple[Tensor, Tensor]:
    """Return weights `[features,P]` and mean `[P]` of the estimator, for responses in units of their noise."""
    gram, cross = moments.centred()
    kernels, neurons = lags.kernels(), len(model.fields)
    by_neuron = gram.reshape(neurons, len(kernels), neurons, len(kernels)).diagonal(dim1=0, dim2=2)
    by_neuron += noise * (kernels @ kernels.T)[..., None]  # in-place on a view; noise is independent between neurons
    weights = solved(gram, cross)
    return weights, moments.intercept(weights)
