"""Training loop shared by encoders, decoders and alignments: weight averaging, validation, resuming."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from recon.encoders.training.state import moments_of, read_parts, set_moments, write_parts
from recon.encoders.training.watch import TrainingWatch
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, NonNegative, Positive, Whole
from recon.files.sealed import whole

SAVE_SECONDS = 5.0
SHARE_SPENT_WORKING = 20
"""Time between saves, in units of what the last save took: the state of a large network is saved less often."""
SCALARS = ("score", "best_step", "step", "seconds")

Module = TypeVar("Module", bound=nn.Module)
Loss = Callable[[nn.Module, torch.Generator], Tensor]
"""Scalar loss of one step, for a batch drawn from the generator."""
Validate = Callable[[nn.Module], float]
"""Validation score; higher is better."""
Show = Callable[[nn.Module], Sequence[Any]]
"""TensorBoard event values (such as images) made from the averaged weights at each validation."""


@dataclass(frozen=True)
class Learning:
    """AdamW with linear warm-up and cosine decay to zero; keeps the averaged weights with the best validation score.

    `average` is the decay of the average and `clip` bounds the gradient norm. Training stops early after `patience`
    validations without improvement (0: never).
    """

    steps: Count = 1000
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 1e-2
    warmup: Whole = 50
    average: Decay = 0.98
    clip: Positive = 1.0
    validate_every: Count = 100
    patience: Whole = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.validate_every) < 1:
            raise InputError(
                f"learning: expected at least 1 step and validations at least 1 step apart, got {self.steps} and "
                f"{self.validate_every}; raise them"
            )


@dataclass
class TrainingRun:
    """State of a training run between two steps; `identity` is a hash of what determines its result."""

    model: nn.Module
    averaged: nn.Module
    optimiser: torch.optim.AdamW
    generator: torch.Generator
    best: dict[str, Tensor]
    identity: str
    score: float = -math.inf
    best_step: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingOutcome:
    """Result of a training run: score of the kept weights (NaN without validation), their step, total steps, seconds.

    `history` holds (step, score) of every validation.
    """

    score: float
    best_step: int
    steps: int
    seconds: float
    history: tuple[tuple[int, float], ...] = ()


@torch.enable_grad()
def learn(
    model: nn.Module,
    loss: Loss,
    settings: Learning,
    *,
    generator: torch.Generator,
    validate: Validate | None = None,
    checkpoint: Path | None = None,
    log: Path | None = None,
    title: str = "",
    show: Show | None = None,
    before: Callable[[int], None] | None = None,
    about: str = "",
) -> TrainingOutcome:
    """Train a model in place; it ends in evaluation mode with the kept weights.

    The loss of every step draws from `generator`. With `checkpoint` an interrupted run resumes and ends with identical
    weights; the caller deletes the file once the weights are saved. A damaged file is set aside with a warning; one of
    other settings, another network, another seed or another `about`, which names data, loss and code, is an InputError.
    `title` labels a progress bar. With `log`, losses go to a TensorBoard folder, and at every validation the values
    returned by `show`, which must not draw from `generator`. `before` is called with the number of every step before
    it is taken, for data that grow during training.
    """
    run = started(model, settings, generator, about=about)
    if checkpoint is not None and whole(checkpoint):
        load_state(run, checkpoint)
    with closing(TrainingWatch(settings.steps, run.step, log, title=title)) as watch:
        saved, pause, began = time.monotonic(), SAVE_SECONDS, time.monotonic() - run.seconds
        while run.step < settings.steps and not _stalled(run, settings, validate):
            if before is not None:
                before(run.step)
            values = _advance(run, loss, settings)
            values |= _validated(run, settings, validate)
            run.seconds = time.monotonic() - began
            watch.report(run.step, values)
            if log is not None and show is not None and "validation" in values:
                _show(run, show, watch)
            last = run.step == settings.steps and run.seconds > SAVE_SECONDS
            if checkpoint is not None and (last or time.monotonic() - saved > pause):
                watch.flush()
                pause = _pause_after(_saving(run, checkpoint))
                saved = time.monotonic()
    model.load_state_dict(run.best if validate is not None else run.averaged.state_dict())
    model.eval()
    return TrainingOutcome(
        run.score if validate else math.nan, run.best_step, run.step, run.seconds, tuple(run.history)
    )


def _saving(run: TrainingRun, path: Path) -> float:
    """Save the state and return the seconds that this took."""
    before = time.monotonic()
    save_state(run, path)
    return time.monotonic() - before


def _pause_after(seconds: float) -> float:
    """Return the seconds until the next save, after one that took so many; none where saves follow every step."""
    return max(SAVE_SECONDS, SHARE_SPENT_WORKING * seconds) if SAVE_SECONDS > 0 else 0.0


def started(model: nn.Module, settings: Learning, generator: torch.Generator, *, about: str = "") -> TrainingRun:
    """Return a training run before its first step."""
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    shapes = [(name, tuple(value.shape)) for name, value in model.state_dict().items()]
    # Weights do not count: those measured on data round otherwise with another number of threads.
    told = repr((settings, shapes, generator.initial_seed(), about))
    identity = hashlib.sha256(told.encode()).hexdigest()[:16]
    return TrainingRun(model, averaged, optimiser, generator, _weights(averaged), identity)


def rate_factor(step: int, settings: Learning) -> float:
    """Return the learning-rate factor of a step: linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _advance(run: TrainingRun, loss: Loss, settings: Learning) -> dict[str, float]:
    for group in run.optimiser.param_groups:
        group["lr"] = settings.learning_rate * rate_factor(run.step, settings)
    value = loss(run.model.train(), run.generator)
    run.optimiser.zero_grad()
    torch.autograd.backward(value)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip)
    run.optimiser.step()
    run.step += 1
    decay = min(settings.average, run.step / (9 + run.step))
    with torch.no_grad():
        for kept, learnt in zip(run.averaged.parameters(), run.model.parameters(), strict=True):
            kept.lerp_(learnt, 1 - decay)
    return {"loss": float(value.detach()), "gradient_norm": float(norm)}


def _validated(run: TrainingRun, settings: Learning, validate: Validate | None) -> dict[str, float]:
    if validate is None or (run.step % settings.validate_every and run.step != settings.steps):
        return {}
    with torch.no_grad():
        score = validate(run.averaged)
    run.history.append((run.step, score))
    if score > run.score:
        run.score, run.best_step, run.best = score, run.step, _weights(run.averaged)
    return {"validation": score}


@torch.no_grad()
def _show(run: TrainingRun, show: Show, watch: TrainingWatch) -> None:
    watch.show(run.step, show(run.averaged))


def _stalled(run: TrainingRun, settings: Learning, validate: Validate | None) -> bool:
    waited = run.step - run.best_step
    return validate is not None and 0 < settings.patience * settings.validate_every <= waited


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def save_state(run: TrainingRun, path: Path) -> None:
    """Write the complete training state atomically."""
    parts = {
        "model": run.model.state_dict(),
        "averaged": run.averaged.state_dict(),
        "best": run.best,
        "optimiser": moments_of(run.optimiser),
        "generator": {"state": run.generator.get_state()},
        "history": {"scores": torch.tensor(run.history, dtype=torch.float64).reshape(-1, 2)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parts(path, parts, [float(getattr(run, name)) for name in SCALARS], training=run.identity)


def load_state(run: TrainingRun, path: Path) -> None:
    """Restore a saved state into a run started with the same model and settings."""
    parts, scalars = read_parts(path, training=run.identity)
    run.model.load_state_dict(parts["model"])
    run.averaged.load_state_dict(parts["averaged"])
    run.best = parts["best"]
    run.generator.set_state(parts["generator"]["state"])
    set_moments(run.optimiser, parts["optimiser"])
    run.score, best_step, step, run.seconds = scalars
    run.best_step, run.step = int(best_step), int(step)
    run.history = [(int(at), score) for at, score in parts["history"]["scores"].tolist()]


def seconds_spent(checkpoint: Path) -> float:
    """Return the seconds that an interrupted training had taken at its last saved state; 0 without one."""
    return float(read_parts(checkpoint)[1][SCALARS.index("seconds")]) if whole(checkpoint) else 0.0


def fresh(make: Callable[[], Module]) -> Module:
    """Return a module made without advancing torch's global generator; its weights are set later."""
    with torch.random.fork_rng(devices=[]):
        return make()


def draw_weights(model: nn.Module, generator: torch.Generator, *, gain: float = 1.5) -> None:
    """Draw the weights of linear and convolutional layers from N(0, `gain` / inputs); biases are zero."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            deviation = (gain / module.weight[0].numel()) ** 0.5
            module.weight.data.normal_(0, deviation, generator=generator)
            if module.bias is not None:
                module.bias.data.zero_()
