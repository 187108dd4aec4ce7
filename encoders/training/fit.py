"""Training of encoders on clips: Poisson loss, regularisers, early stopping on validation correlation, resuming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recon.encoders.base import Encoder, device_of
from recon.encoders.behavior import behavior_moments, without_some
from recon.encoders.core_readout.prepare import prepare
from recon.encoders.training.clips import TrainingClip, draw_chunks, evaluate
from recon.encoders.training.loop import Learning, TrainingOutcome, learn
from recon.errors.ranges import Count, Decay, NonNegative, Positive, Seed, Whole


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser settings: AdamW, linear warm-up, cosine decay to zero; `batch` chunks of `frames` frames per step.

    `smooth` and `sparse` are the weights of the encoder's regularisers. `clip` bounds the gradient norm. `average` is
    the decay of the averaged weights. Training stops early after `patience` validations without improvement.
    `warmup_frames` are dropped when scoring. `behavior_dropout`: share of the training samples that lose behavior (all
    of it, the eye tracker's or the treadmill's); where it is above 0, the mean stands for behavior that is unknown.
    """

    steps: Count = 1500
    batch: Count = 8
    frames: Count = 70
    learning_rate: Positive = 5e-3
    weight_decay: NonNegative = 1e-3
    warmup: Whole = 50
    smooth: NonNegative = 1e-3
    sparse: NonNegative = 1e-3
    clip: Positive = 1.0
    average: Decay = 0.99
    validate_every: Count = 150
    patience: Whole = 6
    warmup_frames: Whole = 50
    behavior_dropout: Decay = 0.0
    seed: Seed = 0


def train(
    encoder: Encoder,
    training: Sequence[TrainingClip],
    validation: Sequence[TrainingClip],
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    log: Path | None = None,
    about: str = "",
) -> TrainingOutcome:
    """Train an encoder from initialisation, in place; keeps the averaged weights with the best validation correlation.

    With `checkpoint` an interrupted run resumes and ends with identical weights; the caller deletes the file once they
    are saved. A state of other settings, or of another `about` (data and code), is an InputError. With `log`, losses
    and correlations are written to a TensorBoard folder.
    """
    model: Any = encoder
    generator = torch.Generator().manual_seed(settings.seed)
    model.initialise(generator)
    prepare(encoder, training)
    if settings.behavior_dropout and encoder.spec.behavior:
        means, _ = behavior_moments(encoder.spec.behavior, [clip.behavior for clip in training])
        encoder.spec = replace(encoder.spec, behavior_means=tuple(means.tolist()))
    model.generator = None  # the averaged copy does not sample
    return learn(
        encoder,
        lambda learner, draws: loss_of(learner, draws, training, settings),
        Learning(**{entry.name: getattr(settings, entry.name) for entry in fields(Learning)}),
        generator=generator,
        validate=lambda averaged: score_of(averaged, validation, settings),
        checkpoint=checkpoint,
        log=log,
        title="train encoder",
        about=repr((settings, about)),
    )


def score_of(encoder: Any, validation: Sequence[TrainingClip], settings: TrainingSettings) -> float:
    """Return the validation correlation, averaged over neurons."""
    return float(evaluate(encoder, validation, warmup=settings.warmup_frames).nanmean())


def poisson_loss(rates: Tensor, responses: Tensor, scale: Tensor) -> Tensor:
    """Return the mean of r − y log r for rates r and responses y `[B,N,T]` in units of each neuron's scale `[N]`."""
    rates, responses = rates / scale[:, None], responses / scale[:, None]
    return (rates - responses.clamp_min(0) * rates.log()).mean()


def loss_of(
    encoder: Any, draws: torch.Generator, training: Sequence[TrainingClip], settings: TrainingSettings
) -> Tensor:
    """Return the regularised Poisson loss of one batch of chunks; `draws` also samples the readout positions."""
    encoder.generator = draws
    device = device_of(encoder)
    movie, responses, behavior = draw_chunks(training, draws, batch=settings.batch, frames=settings.frames)
    movie, responses = movie.to(device), responses.to(device)
    behavior = None if behavior is None else behavior.to(device)
    if settings.behavior_dropout and behavior is not None:
        behavior = without_some(behavior, settings.behavior_dropout, draws)
    first = min(encoder.spec.context[0], movie.shape[2] - 1)
    loss = poisson_loss(encoder(movie, behavior)[..., first:], responses[..., first:], encoder.scale)
    total: Tensor = loss + encoder.regulariser(smooth=settings.smooth, sparse=settings.sparse)
    return total
