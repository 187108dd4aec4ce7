"""Training of encoders on clips: Poisson loss, regularisers, early stopping on validation correlation, resuming."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from encoders.base import Encoder
from encoders.clips import Clip, draw_chunks, evaluate
from encoders.preparation import prepare
from encoders.resume import moments_of, other_training, read_parts, set_moments, write_parts
from encoders.watch import Watch

SAVE_SECONDS = 5.0
SCALARS = ("score", "best_step", "step", "seconds")


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser settings: `batch` chunks of `frames` frames per step, AdamW with warm-up and a cosine to zero.

    `smooth` and `sparse` weigh the encoder's regularisers, `average` is the decay of the averaged weights that are
    kept, `patience` counts validations without a better correlation, `warmup_frames` are dropped when scoring.
    """

    steps: int = 1500
    batch: int = 8
    frames: int = 70
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    warmup: int = 50
    smooth: float = 1e-3
    sparse: float = 1e-3
    clip: float = 1.0
    average: float = 0.99
    validate_every: int = 150
    patience: int = 6
    warmup_frames: int = 50
    seed: int = 0


@dataclass
class Training:
    """A run between two steps: learner, averaged copy, optimiser, generator, and the best so far."""

    learner: Encoder
    averaged: Encoder
    optimiser: torch.optim.AdamW
    generator: torch.Generator
    best: dict[str, Tensor]
    score: float = -math.inf
    best_step: int = 0
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a training ended: mean validation correlation of the kept weights, their step, steps and seconds spent."""

    score: float
    best_step: int
    steps: int
    seconds: float


def train(
    encoder: Encoder,
    training: Sequence[Clip],
    validation: Sequence[Clip],
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    log: Path | None = None,
) -> Outcome:
    """Train an initialised encoder in place; it ends frozen-ready with the averaged weights that validated best.

    With `checkpoint` an interrupted run is picked up where it stopped and ends with the same weights; the file is
    removed at the end. With `log` losses and correlations go to a TensorBoard folder.
    """
    run = start(encoder, training, settings)
    if checkpoint is not None and checkpoint.is_file():
        load_state(run, checkpoint)
    with closing(Watch(settings.steps, run.step, log)) as watch:
        saved, began = time.monotonic(), time.monotonic() - run.seconds
        while run.step < settings.steps and not _stalled(run, settings):
            values = advance(run, training, validation, settings)
            run.seconds = time.monotonic() - began
            watch.report(run.step, values)
            if checkpoint is not None and time.monotonic() - saved > SAVE_SECONDS:
                save_state(run, checkpoint)
                saved = time.monotonic()
    encoder.load_state_dict(run.best)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    encoder.eval()
    return Outcome(run.score, run.best_step, run.step, run.seconds)


def start(encoder: Encoder, training: Sequence[Clip], settings: TrainingSettings) -> Training:
    """Return a run before its first step: weights drawn from the seed, scales and positions from the clips."""
    model: Any = encoder
    generator = torch.Generator().manual_seed(settings.seed)
    model.initialise(generator)
    prepare(encoder, training)
    averaged = copy_of(encoder)
    optimiser = torch.optim.AdamW(encoder.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    return Training(encoder, averaged, optimiser, generator, _weights(averaged))


def copy_of(encoder: Encoder) -> Encoder:
    """Return a copy in evaluation mode without gradients; generators are not copied."""
    model: Any = encoder
    generator, model.generator = model.generator, None
    copied: Encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
    model.generator = generator
    return copied


def advance(
    run: Training, training: Sequence[Clip], validation: Sequence[Clip], settings: TrainingSettings
) -> dict[str, float]:
    """Take one step and, when it is time, validate; return what there is to log."""
    values = _step(run, training, settings)
    run.step += 1
    if run.step % settings.validate_every == 0 or run.step == settings.steps:
        score = float(evaluate(run.averaged, validation, warmup=settings.warmup_frames).nanmean())
        values["validation_correlation"] = score
        if score > run.score:
            run.score, run.best_step, run.best = score, run.step, _weights(run.averaged)
    return values


def poisson_loss(rates: Tensor, responses: Tensor, scale: Tensor) -> Tensor:
    """Return the mean of r − y log r with rates and responses `[B,N,T]` in units of each neuron's scale `[N]`."""
    rates, responses = rates / scale[:, None], responses / scale[:, None]
    return (rates - responses.clamp_min(0) * rates.log()).mean()


def _step(run: Training, training: Sequence[Clip], settings: TrainingSettings) -> dict[str, float]:
    model: Any = run.learner.train()
    device = model.scale.device
    movie, responses, behavior = draw_chunks(training, run.generator, batch=settings.batch, frames=settings.frames)
    movie, responses = movie.to(device), responses.to(device)
    behavior = None if behavior is None else behavior.to(device)
    first = min(model.spec.context[0], movie.shape[2] - 1)
    for group in run.optimiser.param_groups:
        group["lr"] = settings.learning_rate * learning_rate_factor(run.step, settings)
    loss = poisson_loss(model(movie, behavior)[..., first:], responses[..., first:], model.scale)
    total = loss + model.regulariser(smooth=settings.smooth, sparse=settings.sparse)
    run.optimiser.zero_grad()
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    run.optimiser.step()
    _average(run, min(settings.average, (1 + run.step) / (10 + run.step)))
    return {"loss": float(loss.detach()), "gradient_norm": float(norm)}


def learning_rate_factor(step: int, settings: TrainingSettings) -> float:
    """Return the share of the learning rate: linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


@torch.no_grad()
def _average(run: Training, decay: float) -> None:
    for kept, learnt in zip(run.averaged.parameters(), run.learner.parameters(), strict=True):
        kept.lerp_(learnt, 1 - decay)


def _stalled(run: Training, settings: TrainingSettings) -> bool:
    return run.step - run.best_step >= settings.patience * settings.validate_every


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in encoder.state_dict().items()}


def save_state(run: Training, path: Path) -> None:
    """Write all that the next steps depend on, at once or not at all."""
    parts = {
        "learner": run.learner.state_dict(),
        "averaged": run.averaged.state_dict(),
        "best": run.best,
        "optimiser": moments_of(run.optimiser),
        "generator": {"state": run.generator.get_state()},
    }
    write_parts(path, parts, [float(getattr(run, name)) for name in SCALARS])


def load_state(run: Training, path: Path) -> None:
    """Put a saved state into a run that was started with the same encoder, clips and settings."""
    try:
        parts, scalars = read_parts(path)
        run.learner.load_state_dict(parts["learner"])
        run.averaged.load_state_dict(parts["averaged"])
        run.best = parts["best"]
        run.generator.set_state(parts["generator"]["state"])
        set_moments(run.optimiser, parts["optimiser"])
        run.score, best_step, step, run.seconds = scalars
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise other_training(path, error) from error
    run.best_step, run.step = int(best_step), int(step)
