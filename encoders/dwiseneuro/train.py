"""Training of DwiseNeuro by its authors' recipe (Romul, lRomul/sensorium, `true_batch_001`), at any width.

One core is trained on several mice at once, each with its own readout. The result is the averaged weights of the last
step; validation is for monitoring only.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recon.encoders.dwiseneuro.blocks import Drop
from recon.encoders.dwiseneuro.network import DwiseNetwork, DwiseSettings
from recon.encoders.dwiseneuro.sampling import (
    Mouse,
    WindowBatch,
    WindowSampling,
    epoch_steps,
    generator_of,
    key_of,
    plan,
    read_ahead,
    read_batch,
)
from recon.encoders.dwiseneuro.scores import Precision, misfit, validate
from recon.encoders.runtime.precision import autocast
from recon.encoders.training.state import moments_of, other_training, read_parts, set_moments, write_parts
from recon.encoders.training.watch import TrainingWatch
from recon.errors import InputError
from recon.errors.ranges import Count, Decay, Fraction, NonNegative, Positive, Whole
from recon.files.sealed import whole

RATED_BATCH = 4
"""Batch size to which the base learning rate refers."""
SAVE_SECONDS, SAVE_SHARE = 5.0, 0.02
"""Minimum seconds between saved states, and maximum share of the run time spent saving."""


@dataclass(frozen=True)
class Recipe:
    """Published training constants: epochs, learning rates, weight decay (AdamW), averaging, and sampling.

    The learning rate rises from zero to base_rate · batch/4 over `warmup_epochs`, then falls along half a cosine to the
    fraction `last_rate` of it over `epochs`. `average` is the decay of the averaged weights. A batch is processed in
    `portions` with accumulated gradients. Validation runs every `validate_every` epochs.
    """

    sampling: WindowSampling = field(default_factory=WindowSampling)
    warmup_epochs: Whole = 3
    epochs: Count = 18
    base_rate: Positive = 3e-4
    last_rate: Fraction = 0.01
    weight_decay: NonNegative = 0.05
    average: Decay = 0.999
    portions: Count = 1
    validate_every: Count = 1
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if min(self.warmup_epochs, self.epochs - 1, self.portions - 1, self.validate_every - 1) < 0:
            raise InputError(
                f"epochs, portions, validate_every: expected 1 or more, warmup_epochs 0 or more, got {self}; raise them"
            )


@dataclass
class DwiseRun:
    """Training state between two steps: trained network, averaged copy, optimiser; `about` names its data."""

    network: DwiseNetwork
    averaged: DwiseNetwork
    optimiser: torch.optim.AdamW
    generator: torch.Generator
    mice: tuple[Mouse, ...]
    recipe: Recipe
    step: int = 0
    seconds: float = 0.0
    about: str = ""

    @property
    def epoch_steps(self) -> int:
        """Steps per epoch."""
        return epoch_steps(self.recipe.sampling, len(self.mice))

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return (self.recipe.warmup_epochs + self.recipe.epochs) * self.epoch_steps

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        return next(self.network.parameters()).device


def train_dwise(
    mice: Sequence[Mouse],
    settings: DwiseSettings,
    recipe: Recipe,
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    log: Path | None = None,
    about: str = "",
) -> DwiseRun:
    """Return a finished training run; its `averaged` network, in evaluation mode, is the result.

    With `checkpoint` an interrupted run resumes and ends with identical weights; the caller deletes the file once the
    weights are saved. A state of another network, recipe or `about` (the data) is an InputError. With `log`, losses and
    correlations are written to a TensorBoard folder.
    """
    run = start(mice, settings, recipe, device)
    run.about = about
    if checkpoint is not None and whole(checkpoint):
        load_run(run, checkpoint)
    batches = read_ahead(range(run.step, run.steps), reader(run), recipe.sampling.readers)
    with closing(TrainingWatch(run.steps, run.step, log)) as watch:
        _run_steps(run, batches, watch, checkpoint)
    if checkpoint is not None:
        save_run(run, checkpoint)
    return run


def _run_steps(run: DwiseRun, batches: Iterator[WindowBatch], watch: TrainingWatch, checkpoint: Path | None) -> None:
    began, saved, wait = time.monotonic() - run.seconds, time.monotonic(), SAVE_SECONDS
    for batch in batches:
        values = advance(run, batch)
        now = time.monotonic()
        run.seconds = now - began
        watch.report(run.step, values)
        if checkpoint is not None and now - saved > wait:
            watch.flush()
            save_run(run, checkpoint)
            saved = time.monotonic()
            wait = max(SAVE_SECONDS, (saved - now) / SAVE_SHARE)


def start(mice: Sequence[Mouse], settings: DwiseSettings, recipe: Recipe, device: torch.device) -> DwiseRun:
    """Return a training run before its first step, with one readout per mouse in order."""
    outputs = tuple(len(mouse.subject.neuron_ids) for mouse in mice)
    # Torch's own initialisation is overwritten below.
    with torch.random.fork_rng(devices=[]):
        network = DwiseNetwork(replace(settings, readout_outputs=outputs))
    initialise(network, generator_of(recipe.sampling.seed, "weights", 0))
    network.to(device)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    generator = torch.Generator()
    for module in network.modules():
        if isinstance(module, Drop):
            module.generator = generator
    optimiser = torch.optim.AdamW(network.parameters(), learning_rate(0, recipe, 1), weight_decay=recipe.weight_decay)
    return DwiseRun(network, averaged, optimiser, generator, tuple(mice), recipe)


@torch.no_grad()
def initialise(network: DwiseNetwork, generator: torch.Generator) -> None:
    """Draw the convolutions' weights from N(0, 2/fan out), as published (He et al. 2015); biases are zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv3d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            module.weight.normal_(0, math.sqrt(2 / fan_out), generator=generator)
            if module.bias is not None:
                module.bias.zero_()


def reader(run: DwiseRun) -> Callable[[int], WindowBatch]:
    """Return a function from step to batch."""
    settings, trials = run.network.settings, tuple(len(mouse.training) for mouse in run.mice)
    return lambda step: read_batch(plan(step, trials, run.recipe.sampling, settings.canvas), run.mice, settings)


def learning_rate(step: int, recipe: Recipe, steps: int) -> float:
    """Return the learning rate of a step, with `steps` per epoch; the first step of a warm-up has rate zero."""
    peak = recipe.base_rate * recipe.sampling.batch / RATED_BATCH
    warm = recipe.warmup_epochs * steps
    if step < warm:
        return peak * step / warm
    low, through = peak * recipe.last_rate, (step - warm) / (recipe.epochs * steps)
    return low + (peak - low) * (1 + math.cos(math.pi * through)) / 2


def advance(run: DwiseRun, batch: WindowBatch) -> dict[str, float]:
    """Take one step, validate if due, and return the values to log."""
    rate = learning_rate(run.step, run.recipe, run.epoch_steps)
    values = {"learning_rate": rate, "loss": learn(run, batch, rate)}
    run.step += 1
    epoch, rest = divmod(run.step, run.epoch_steps)
    if run.step == run.steps or (rest == 0 and epoch % run.recipe.validate_every == 0):
        values |= validate(run.averaged, run.mice, batch=run.recipe.sampling.batch, precision=run.recipe.precision)
    return values


def learn(run: DwiseRun, batch: WindowBatch, rate: float) -> float:
    """Take one AdamW step at a learning rate and return the loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.generator.manual_seed(key_of(run.recipe.sampling.seed, "drop", run.step))
    run.network.train()
    run.optimiser.zero_grad()
    total, parts = 0.0, torch.arange(len(batch.mice)).chunk(run.recipe.portions)
    for part in parts:
        loss: Any = batch_loss(run.network, _portion(batch, part), run.recipe.precision) / len(parts)
        loss.backward()
        total += float(loss.detach())
    if not math.isfinite(total):
        raise InputError(f"loss: expected a finite value, got {total} at step {run.step}; lower training.base_rate")
    run.optimiser.step()
    update_average(run.averaged, run.network, run.recipe.average)
    return total


def _portion(batch: WindowBatch, part: Tensor) -> WindowBatch:
    return WindowBatch(batch.inputs[part], batch.mice[part], tuple(batch.responses[i] for i in part.tolist()))


def batch_loss(network: DwiseNetwork, batch: WindowBatch, precision: Precision) -> Tensor:
    """Return the mean Poisson loss per sample; each sample uses its own mouse's readout only."""
    device = next(network.parameters()).device
    total = torch.zeros((), device=device)
    with autocast(device, precision):
        features = network.features(batch.inputs.to(device))
        for mouse in sorted(set(batch.mice.tolist())):
            rows = (batch.mice == mouse).nonzero()[:, 0]
            responses = torch.stack([batch.responses[row] for row in rows.tolist()]).to(device)
            total = total + misfit(network.readouts[mouse](features[rows.to(device)]), responses).sum()
    return total / len(batch.mice)


@torch.no_grad()
def update_average(averaged: DwiseNetwork, network: DwiseNetwork, decay: float) -> None:
    """Move averaged weights and BatchNorm statistics by 1 − decay towards the network's; counters are copied."""
    for kept, learnt in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(learnt, 1 - decay)
        else:
            kept.copy_(learnt)


def save_run(run: DwiseRun, path: Path) -> None:
    """Write the complete training state atomically."""
    parts = {
        "network": run.network.state_dict(),
        "averaged": run.averaged.state_dict(),
        "optimiser": moments_of(run.optimiser),
    }
    write_parts(
        path, parts, {"step": run.step, "seconds": run.seconds, "described": _fingerprint(run)}, training=run.about
    )


def load_run(run: DwiseRun, path: Path) -> None:
    """Restore a saved state into a run started with the same mice, network and recipe."""
    try:
        parts, scalars = read_parts(path, training=run.about)
        if scalars["described"] != _fingerprint(run):
            raise other_training(path, "another network, recipe or other recordings")
        run.network.load_state_dict(parts["network"])
        run.averaged.load_state_dict(parts["averaged"])
        set_moments(run.optimiser, parts.get("optimiser", {}))
    except (KeyError, TypeError, RuntimeError) as error:
        raise other_training(path, error) from error
    run.step, run.seconds = scalars["step"], scalars["seconds"]


def _fingerprint(run: DwiseRun) -> Any:
    """Return the settings and data that determine the training; prefetching and validation schedule do not."""
    sampling = replace(run.recipe.sampling, readers=0)
    recipe = replace(run.recipe, sampling=sampling, validate_every=1)
    trials = [[mouse.subject.name, len(mouse.training), len(mouse.subject.neuron_ids)] for mouse in run.mice]
    return json.loads(json.dumps([asdict(run.network.settings), asdict(recipe), trials]))
