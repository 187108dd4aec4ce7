"""Linear approximation of an encoder by expected gradients, with offset, gain and noise from training trials.

For a Gaussian stimulus the mean gradient of a rate is its best linear approximation (Stein's lemma; Paninski 2003).
Gradients are therefore averaged over pieces of training movies, not taken at grey, where a rectified cell is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from recon.encoders.base import Encoder, device_of
from recon.errors import InputError
from recon.methods.artefacts import load_artefact
from recon.methods.linear.lags import Lags, Scaling
from recon.methods.training_set import TrainingSet

AT_ONCE = 32
"""Neurons per backward pass."""
TRIALS = 40
"""Number of training trials, evenly spaced, for offset, gain and noise."""


@dataclass(frozen=True)
class LinearModel:
    """y(t) = offset + Σ_lag ⟨fields(lag), movie(t−lag) − mean⟩ + noise, for the usable neurons.

    `fields` `[n,L,P]` have lags in ascending order from `first` and P pixels; `mean` `[P]`; `offset` and `variance`
    `[n]`.
    """

    fields: Tensor
    mean: Tensor
    offset: Tensor
    variance: Tensor
    first: int

    def noise_scaling(self) -> Scaling:
        """Return the scaling of responses to units of noise around the offset."""
        return Scaling(self.offset, self.variance.sqrt(), root=False)

    def predict(self, frames: Tensor) -> Tensor:
        """Return noise-free responses `[n,T]` to frames `[T,P]`; the movie is padded with the mean frame."""
        neurons, lags, pixels = self.fields.shape
        shown = (frames - self.mean) @ self.fields.reshape(-1, pixels).T
        padded = functional.pad(shown.T.reshape(neurons, lags, -1), (lags + abs(self.first), lags + abs(self.first)))
        start = lags + abs(self.first) - self.first
        parts = [padded[:, lag, start - lag : start - lag + len(frames)] for lag in range(lags)]
        return torch.stack(parts).sum(0) + self.offset[:, None]

    def on_bases(self, lags: Lags) -> Tensor:
        """Return fields `[n,bases,P]` as least-squares weights of the bumps of `lags`."""
        own = torch.arange(self.first, self.first + self.fields.shape[1])
        wanted = torch.arange(lags.first, lags.last + 1)
        same = (wanted[:, None] == own[None]).to(self.fields)
        on_bases: Tensor = torch.linalg.pinv(lags.kernels().T) @ same @ self.fields
        return on_bases


def linear_model(training: TrainingSet, *, samples: int) -> LinearModel:
    """Return the linear model of the encoders, cached as an artefact."""
    training.required_encoders("linear model")

    def learn(checkpoint: Path) -> dict[str, Tensor]:
        model = _measured(training, samples)
        parts = {name: value for name, value in vars(model).items() if isinstance(value, Tensor)}
        return parts | {"first": torch.tensor(model.first)}

    path = training.artefact("linear_model", samples, learn, code=[__name__], uses=("neurons", "encoders"))
    learnt = load_artefact(path, method="linear model")
    first = int(learnt.pop("first"))
    return LinearModel(**learnt, first=first)


def _measured(training: TrainingSet, samples: int) -> LinearModel:
    spans = [encoder.spec.context for encoder in training.encoders]
    before, after = max(span[0] for span in spans), max(span[1] for span in spans)
    fields = torch.zeros(())
    for encoder in training.encoders:
        shown = list(pieces(training, encoder, (before, after), samples))
        fields = fields + expected_gradients(encoder, shown, training.neurons, at=before) / len(training.encoders)
    by_lag = fields.flip(1).flatten(2)
    mean = torch.stack([trial.movie[0].mean(0).flatten() for trial in training.evenly_spaced(TRIALS)]).mean(0)
    silent = torch.zeros(len(by_lag))
    return calibrated(LinearModel(by_lag, mean, silent, silent, -after), training)


def pieces(
    training: TrainingSet, encoder: Encoder, context: tuple[int, int], count: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield `count` pieces of training movies `[C,L,H,W]`, as long as the context, with their behavior `[4,L]`."""
    length = context[0] + 1 + context[1]
    for number, trial in enumerate(training.evenly_spaced(count)):
        frames = trial.movie.shape[1]
        if frames < length:
            raise InputError(f"training trials: expected at least {length} frames, got {frames}; cut longer trials")
        start = (number * 37 + frames // 2) % (frames - length + 1)
        behavior = None if trial.behavior is None else trial.behavior[:, start : start + length]
        yield trial.movie[:, start : start + length], behavior


@torch.enable_grad()
def expected_gradients(
    encoder: Encoder, shown: Sequence[tuple[Tensor, Tensor | None]], neurons: Tensor, *, at: int
) -> Tensor:
    """Return gradients `[n,L,H,W]` of the rates at frame `at`, averaged over pieces of movies."""
    device = device_of(encoder)
    chosen = neurons.nonzero().flatten()
    total = torch.zeros(len(chosen), *shown[0][0].shape[1:])
    for movie, behavior in shown:
        for first in range(0, len(chosen), AT_ONCE):
            part = chosen[first : first + AT_ONCE].to(device)
            leaf = movie.to(device).expand(len(part), *movie.shape).clone().requires_grad_(True)
            seen = None if behavior is None else behavior.to(device).expand(len(part), *behavior.shape)
            rates = encoder(leaf, seen)[torch.arange(len(part), device=device), part, at]
            (gradient,) = torch.autograd.grad(rates.sum(), leaf)
            total[first : first + AT_ONCE] += gradient.sum(1).cpu() / len(shown)
    return total


def calibrated(model: LinearModel, training: TrainingSet) -> LinearModel:
    """Return the model with offset, non-negative gain and noise variance regressed on training responses.

    Frames whose context reaches outside the trial are excluded.
    """
    count, sums = 0, torch.zeros(5, len(model.fields), dtype=torch.float64)
    last = model.first + model.fields.shape[1] - 1
    for trial in training.evenly_spaced(TRIALS):
        # Near the ends rates depend on the encoder's own padding.
        inside = slice(last, trial.movie.shape[1] + model.first)
        drive = model.predict(trial.movie[0].flatten(1))[:, inside].double()
        responses = training.responses(trial)[:, inside].double()
        count += drive.shape[1]
        sums += torch.stack([x.sum(1) for x in (drive, responses, drive**2, responses**2, drive * responses)])
    x, y, xx, yy, xy = sums / count
    gain = ((xy - x * y) / (xx - x**2).clamp_min(1e-20)).clamp_min(0)
    variance = yy - y**2 - 2 * gain * (xy - x * y) + gain**2 * (xx - x**2)
    floor = 1e-4 * float(variance.clamp_min(0).mean())
    return replace(
        model,
        fields=model.fields * gain.float()[:, None, None],
        offset=(y - gain * x + gain * model.offset).float(),
        variance=variance.clamp_min(max(floor, 1e-12)).float(),
    )
