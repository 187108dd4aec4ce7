"""Transparency masks: the part of the screen covered by the population's receptive fields (Bauer et al. 2026).

The shown clip is blended with another clip, mask·shown + (1 − mask)·other. The mask is optimised until the encoder's
prediction for the blend matches the responses to the shown clip; it opens where the population has receptive fields.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon import config
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder, freeze
from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative, Positive, Seed, Whole
from recon.files import write_bytes
from recon.methods.combined import gaussian_filter
from recon.problem.conditions import response_scale
from recon.study.encoders import check_encoder
from recon.types import Trial, stack

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class MaskLearning:
    """Gradient descent on the mask: `steps` of size `rate`, gradients blurred with standard deviation `blur` pixels.

    Each step uses `pairs` random pairs of clips of `frames` frames, after the first `skip` frames of their trials; more
    pairs reduce gradient noise. The mask starts uniform in [0, `start`). Defaults are the published values.
    """

    steps: Count = 1000
    pairs: Count = 1
    frames: Count = 32
    skip: Whole = 50
    rate: Positive = 10.0
    blur: NonNegative = 5.0
    start: Fraction = 0.05
    seed: Seed = 0


@dataclass(frozen=True)
class MaskTraining:
    """Configuration of `recon train mask`: recording, encoder, learning and output (.npy)."""

    recording: Path
    encoder: Mapping[str, Any]
    output: Path
    learning: MaskLearning = field(default_factory=MaskLearning)


def train_mask(tree: Mapping[str, Any], *, progress: Progress = iter) -> Path:
    """Learn a mask from a configuration and write it; names and types are checked before any computation."""
    chosen = config.record(MaskTraining, tree, where="mask")
    encoder: Encoder = config.build("encoder", chosen.encoder, where="encoder")
    recording = open_recording(chosen.recording)
    check_encoder(encoder, recording, "encoder")
    mask = learn_mask(freeze(encoder), recording, chosen.learning, progress=progress)
    content = io.BytesIO()
    np.save(content, mask.numpy())
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(chosen.output, content.getvalue())
    return chosen.output


def learn_mask(
    encoder: Encoder, recording: SensoriumRecording, chosen: MaskLearning, *, progress: Progress = iter
) -> Tensor:
    """Return the mask `[H,W]`, learnt from training trials; values may exceed 1 (blends clip the mask to [0,1]).

    Raises InputError if training trials are too few or too short.
    """
    generator = torch.Generator().manual_seed(chosen.seed)
    indices = _long_enough(recording, chosen)
    scale = response_scale(recording, encoder)
    mask = chosen.start * torch.rand(recording.frame_size, generator=generator)
    for _ in progress(range(chosen.steps)):
        drawn = torch.randint(len(indices), (2, chosen.pairs), generator=generator).tolist()
        shown, other = ([_part(recording.trial(indices[i]), chosen) for i in row] for row in drawn)
        gradient = _gradient(encoder, mask, shown, other, scale)
        mask = mask - chosen.rate * gaussian_filter(gradient, (0.0, chosen.blur, chosen.blur))[0, 0, 0]
    return mask


def _gradient(encoder: Encoder, mask: Tensor, shown: list[Trial], other: list[Trial], scale: Tensor) -> Tensor:
    """Return the gradient `[1,1,1,H,W]`: normalised per pair over all frames, clipped to ±1, then averaged."""
    movie, responses, behavior = stack(shown)
    background = stack(other)[0]
    leaf = mask.expand(len(movie), 1, movie.shape[2], *mask.shape).clone().requires_grad_(True)
    alpha = leaf.clamp(0, 1)
    rates = encoder(alpha * movie + (1 - alpha) * background, behavior)
    first = encoder.spec.context[0]
    misfit = (rates - responses / scale)[..., first:].square().mean((1, 2)).sum()
    (gradient,) = torch.autograd.grad(misfit, leaf)
    norm = gradient.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1, 1) + 1e-6
    averaged: Tensor = (gradient / norm).clamp(-1, 1).mean((0, 1, 2), keepdim=True)
    return averaged


def _long_enough(recording: SensoriumRecording, chosen: MaskLearning) -> list[int]:
    needed = chosen.skip + chosen.frames
    found = [i for i in recording.trials("train") if recording.trial(i).movie.shape[1] >= needed]
    if len(found) < 2:
        raise InputError(
            f"mask: expected at least 2 training trials of {needed} frames or more, got {len(found)} in "
            f"{recording.path}; lower skip or frames"
        )
    return found


def _part(trial: Trial, chosen: MaskLearning) -> Trial:
    span = slice(chosen.skip, chosen.skip + chosen.frames)
    behavior = None if trial.behavior is None else trial.behavior[:, span]
    return Trial(trial.index, trial.tier, trial.movie[:, span], trial.responses[:, span], behavior, trial.video_id)


def iou(mask: Tensor, truth: Tensor) -> float:
    """Return the intersection over union of two boolean masks `[H,W]`.

    >>> iou(torch.tensor([True, True, False]), torch.tensor([True, False, False]))
    0.5
    """
    return float((mask & truth).sum()) / max(float((mask | truth).sum()), 1.0)
