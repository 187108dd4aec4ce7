"""Fits a `Glm`: spike-triggered average → localised separable start → penalised likelihood → width by validation.

Receptive fields of ganglion cells are small and brief. A localised prior (Park & Pillow 2011) reduces the effective
number of parameters, and with it the estimation noise that enters reconstructions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from recon.encoders.glm.model import FLOOR, Glm, separable_drive
from recon.encoders.training.clips import TrainingClip, draw_chunks, evaluate
from recon.encoders.training.loop import TrainingOutcome
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Positive, Seed, Some

REACH = 12.0
"""Largest exponent of the envelope: exp(−12) is negligible and still a safe divisor in float32."""


@dataclass(frozen=True)
class GlmFit:
    """Settings of a `Glm` fit: for each of `widths` (pixels), `steps` of Adam on `batch` clips of `frames` frames.

    The prior of a spatial weight at distance d from the cell's centre is Gaussian with variance ∝ exp(−d²/(2·width²)).
    `ridge` weighs this prior and `smooth` the squared second differences in time, both relative to the log likelihood
    of all training frames. Each cell keeps the width with the highest validation likelihood.
    """

    widths: Annotated[tuple[Positive, ...], Some] = (0.9, 1.3, 1.9, 2.7)
    ridge: NonNegative = 3.0
    smooth: NonNegative = 30.0
    steps: Count = 150
    batch: Count = 8
    frames: Count = 300
    learning_rate: Positive = 0.015
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.steps, self.batch, self.frames) <= 0:
            raise InputError(
                f"glm fit: expected widths, steps, batch and frames above 0, got {self.widths}, {self.steps}, "
                f"{self.batch}, {self.frames}; correct these values"
            )


@dataclass(frozen=True)
class Start:
    """Initial filters `space` `[N,R,H·W]`, `time` `[N,R,L]`; squared `distance` `[N,H·W]` from the cells' centres."""

    space: Tensor
    time: Tensor
    distance: Tensor


def fit_glm(
    encoder: Glm, training: Sequence[TrainingClip], validation: Sequence[TrainingClip], settings: GlmFit
) -> TrainingOutcome:
    """Fit an encoder in place on clips of at least `lags` frames and return the outcome."""
    began, average = time.monotonic(), spike_triggered_average(encoder, training)
    best = torch.full((len(average),), -math.inf)
    kept = {name: value.clone() for name, value in encoder.state_dict().items()}
    constant = mean_rate_likelihood(training, validation, encoder.spec.context[0])
    for width in settings.widths:
        _maximise(encoder, localised_start(encoder, average, width), training, settings, width=width)
        gained = log_likelihood(encoder, validation) - constant
        better = gained > best
        for name, value in encoder.state_dict().items():
            kept[name][better] = value[better]
        best = torch.where(better, gained, best)
    encoder.load_state_dict(kept)
    score = float(evaluate(encoder.eval(), validation, warmup=encoder.spec.context[0]).nanmean())
    steps = settings.steps * len(settings.widths)
    return TrainingOutcome(score, steps, steps, time.monotonic() - began)


@torch.no_grad()
def spike_triggered_average(encoder: Glm, clips: Sequence[TrainingClip]) -> Tensor:
    """Return the spike-triggered average `[N,L,H·W]` of the normalised movie at lags 0 … L−1."""
    settings = encoder.settings
    total, count = torch.zeros(1), torch.zeros(1)
    for clip in clips:
        movie = ((clip.movie[0] - settings.mean) / settings.std).flatten(1)
        late = clip.responses[:, settings.lags - 1 :]
        lagged = [movie[settings.lags - 1 - lag : len(movie) - lag] for lag in range(settings.lags)]
        total = total + torch.stack([late @ part for part in lagged], 1)
        count = count + late.sum(1)
    return total / count.clamp_min(1)[:, None, None]


def localised_start(encoder: Glm, average: Tensor, width: float) -> Start:
    """Return the leading separable components of the average `[N,L,H·W]` around each cell's peak.

    For Gaussian white noise and an exponential nonlinearity, the average is proportional to the filter (Chichilnisky
    2001).
    """
    height, columns = encoder.spec.frame_size
    power = functional.avg_pool2d(average.reshape(*average.shape[:2], height, columns), 3, 1, 1).square().sum(1)
    peak = power.flatten(1).argmax(1)
    place = torch.cartesian_prod(torch.arange(height), torch.arange(columns))
    distance = (place - place[peak][:, None]).square().sum(2).float()
    left, size, right = torch.linalg.svd(average * _envelope(distance, width)[:, None], full_matrices=False)
    root = size[:, : encoder.settings.rank, None].sqrt()
    rank = encoder.settings.rank
    return Start(right[:, :rank] * root, left[:, :, :rank].transpose(1, 2) * root, distance)


@torch.no_grad()
def log_likelihood(encoder: Glm, clips: Sequence[TrainingClip]) -> Tensor:
    """Return each cell's Poisson log likelihood `[N]`, summed over the frames of clips with full history."""
    first = encoder.spec.context[0]
    total = torch.zeros(len(encoder.spec.neuron_ids))
    for clip in clips:
        rates, responses = encoder(clip.movie[None])[0, :, first:], clip.responses[:, first:]
        total += (responses * rates.log() - rates).sum(1)
    return total


def mean_rate_likelihood(training: Sequence[TrainingClip], validation: Sequence[TrainingClip], first: int) -> Tensor:
    """Return the Poisson log likelihood `[N]` of the validation responses under the constant mean training rate."""
    rate = torch.cat([clip.responses[:, first:] for clip in training], 1).mean(1).clamp_min(FLOOR)[:, None]
    return torch.stack([(clip.responses[:, first:] * rate.log() - rate).sum(1) for clip in validation]).sum(0)


@torch.enable_grad()
def _maximise(encoder: Glm, start: Start, clips: Sequence[TrainingClip], settings: GlmFit, *, width: float) -> None:
    """Maximise the penalised likelihood of all cells at once; cells are independent given the movie.

    The spatial weights are whitened by their prior (space = envelope · variable), so that one learning rate suits all.
    """
    envelope = _envelope(start.distance, width)[:, None]
    mean = torch.cat([clip.responses for clip in clips], 1).mean(1).clamp_min(FLOOR)
    gain = torch.full_like(mean, math.exp(-1))
    bias = torch.expm1((mean / gain).clamp_min(1e-3)).log()
    variables = [start.space / envelope.clamp_min(1e-2), start.time, bias, gain.log()]
    leaves = [variable.clone().requires_grad_(True) for variable in variables]
    optimiser = torch.optim.Adam(leaves, settings.learning_rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(settings.seed)
    everything = sum(clip.responses.shape[1] for clip in clips)
    for step in range(settings.steps):
        drawn = draw_chunks(clips, generator, batch=settings.batch, frames=settings.frames)
        optimiser.param_groups[0]["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        optimiser.zero_grad()
        misfit = _misfit(encoder, leaves, envelope, drawn[:2]) * (everything / drawn[1].shape[0] / drawn[1].shape[2])
        torch.autograd.backward([misfit + _penalty(leaves, envelope, settings)], inputs=leaves)
        optimiser.step()
    with torch.no_grad():
        space, course, bias, gain = leaves
        encoder.space.copy_((space * envelope).reshape(encoder.space.shape))
        encoder.time.copy_(course)
        encoder.bias.copy_(bias)
        encoder.gain.copy_(gain.exp())


def _misfit(encoder: Glm, leaves: list[Tensor], envelope: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
    """Return the negative log likelihood of clips `[B,1,F,H,W]` and responses `[B,N,F]`, summed over cells."""
    space, course, bias, gain = leaves
    movie, first = drawn[0][:, 0], encoder.spec.context[0]
    normal = (movie - encoder.settings.mean) / encoder.settings.std
    drive = separable_drive(normal, (space * envelope).reshape(encoder.space.shape), course) + bias[:, None]
    rates = (gain.exp()[:, None] * functional.softplus(drive) + FLOOR)[..., first:]
    return (rates - drawn[1][..., first:] * rates.log()).sum()


def _penalty(leaves: list[Tensor], envelope: Tensor, settings: GlmFit) -> Tensor:
    """Return the penalty of all filters.

    Each factor's penalty is multiplied by the squared norm of the other factor, so that it depends on their product
    only. The last term removes the remaining scale ambiguity: both factors get equal norms.
    """
    space, course = leaves[:2]
    size, length = (space * envelope).square().sum(2), course.square().sum(2)
    roughness = course.diff(n=2, dim=2).square().sum(2)
    local = settings.ridge * space.square().sum(2) * length
    return (local + settings.smooth * roughness * size + (size - length).square()).sum()


def _envelope(distance: Tensor, width: float) -> Tensor:
    """Return the prior standard deviation at squared distances d²: exp(−d²/(4·width²))."""
    return torch.exp(-(distance / (4 * width**2)).clamp_max(REACH))
