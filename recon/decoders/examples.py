"""What decoders learn from: chunks of recorded responses and movies, and of responses distilled from encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recon.fidelities.base import Likelihood, Sampled
from recon.lagged import Lags
from recon.learning_set import TrainingSet

NOISE_TRIALS = 40
"""Training trials, spread evenly, to which the noise of distilled responses is fitted."""


@dataclass(frozen=True)
class Example:
    """A training trial in memory: movie `[T,H,W]` (0–255, bytes) and responses, or rates to draw them from, `[n,T]`."""

    movie: Tensor
    responses: Tensor


@dataclass(frozen=True)
class Distilled:
    """Examples whose responses are rates of encoders, and the noise with which responses are drawn from them."""

    examples: list[Example]
    noise: Sampled


def recorded(training: TrainingSet) -> list[Example]:
    """Return all training trials of a training set."""
    return [Example(_bytes(trial.movie[0]), training.responses(trial)) for trial in training.trials()]


@torch.no_grad()
def distilled(training: TrainingSet, noise: Likelihood) -> Distilled:
    """Return what the encoders predict for the training movies, their mirror images, and these played backwards.

    The noise is fitted to the training responses and the rates of the movies as they were shown.
    """
    if not training.encoders or not isinstance(noise, Sampled):
        got = "no encoder" if not training.encoders else f"noise {noise}"
        raise ValueError(f"distillation: expected encoders in the row, and noise that can be drawn, got {got}")
    examples, known = [], []
    for trial in training.trials():
        for number, view in enumerate((trial.movie, trial.movie.flip(-1), trial.movie.flip(-1, -3))):
            rates = mean_rates(training, view, trial.behavior)
            examples.append(Example(_bytes(view[0]), rates.half()))
            if number == 0:
                known.append((rates, training.responses(trial)))
    frames = min(rates.shape[1] for rates, _ in known)
    every = max(1, len(known) // NOISE_TRIALS)
    rates, responses = (torch.stack([pair[part][:, :frames] for pair in known[::every]]) for part in (0, 1))
    fitted = noise.fit(rates, responses, torch.ones_like(rates, dtype=torch.bool))
    return Distilled(examples, fitted)


def mean_rates(training: TrainingSet, movie: Tensor, behavior: Tensor | None) -> Tensor:
    """Return the rates `[n,T]` of a movie `[C,T,H,W]`, averaged over the encoders of a training set."""
    total = torch.zeros(())
    for encoder in training.encoders:
        device = next((tensor.device for tensor in (*encoder.parameters(), *encoder.buffers())), movie.device)
        seen = None if behavior is None else behavior[None].to(device)
        total = total + encoder(movie[None].to(device), seen)[0, training.neurons.to(device)].cpu()
    return total / len(training.encoders)


def drawn_chunk(source: Distilled, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return random chunks as `chunk` does, with responses drawn from the rates."""
    rates, movies = chunk(source.examples, generator, batch=batch, frames=frames)
    return source.noise.sample(rates.float(), generator), movies


def chunk(
    examples: list[Example], generator: torch.Generator, *, batch: int, frames: int, apart: bool = False
) -> tuple[Tensor, Tensor]:
    """Return random chunks: responses `[B,n,F]` and movies `[B,1,F,H,W]` in [0,1]; F is less for shorter trials.

    Where they are to be kept `apart` no two come from one trial, and there are at most as many as trials.
    """
    drawn = torch.randperm(len(examples), generator=generator)[:batch] if apart else None
    drawn = torch.randint(len(examples), (batch,), generator=generator) if drawn is None else drawn
    chosen = drawn.tolist()
    length = min(frames, *(examples[index].responses.shape[1] for index in chosen))
    responses, movies = [], []
    for index in chosen:
        late = examples[index].responses.shape[1] - length
        start = int(torch.randint(late + 1, (1,), generator=generator))
        responses.append(examples[index].responses[:, start : start + length])
        movies.append(examples[index].movie[start : start + length])
    return torch.stack(responses), torch.stack(movies)[:, None].float() / 255


def measured_places(examples: list[Example], grid: tuple[int, int], lags: Lags) -> Tensor:
    """Return receptive-field centres `[n,2]` (row, column, in cells) measured by correlation with training movies.

    A neuron's map is Σ_lag r²: its responses against the luminance of each cell (simple cells) and against the
    squared deviation of its pixels from the mean frame (complex cells), smoothed; its centre is the centroid of
    what exceeds half of the map's range, near its maximum.
    """
    sums: list[Tensor] = [torch.zeros(()) for _ in range(5)]
    mean = torch.stack([example.movie.float().mean(0) for example in examples]).mean(0) / 255
    count = 0
    for features, values in _pairs(examples, grid, lags, mean):
        parts = (features.T @ values, features.sum(0), values.sum(0), (features**2).sum(0), (values**2).sum(0))
        sums, count = [total + part for total, part in zip(sums, parts, strict=True)], count + len(values)
    xy, x, y, xx, yy = (total / count for total in sums)
    spread = (xx - x**2).clamp_min(1e-12)[:, None] * (yy - y**2).clamp_min(1e-12)
    squared = (xy - x[:, None] * y) ** 2 / spread
    neurons = examples[0].responses.shape[0]
    maps = squared.reshape(neurons, -1, 2, *grid).sum((1, 2))
    return centroids(functional.avg_pool2d(maps[:, None], 3, 1, 1, count_include_pad=False)[:, 0])


def centroids(maps: Tensor) -> Tensor:
    """Return `[n,2]` centroids (row, column) of what exceeds half of each map `[n,h,w]`, within 4 cells of its peak.

    >>> spot = torch.zeros(1, 9, 9)
    >>> spot[0, 2, 5] = 1.0
    >>> centroids(spot).tolist()
    [[2.0, 5.0]]
    """
    height, width = maps.shape[1:]
    flat = maps.flatten(1)
    peak = flat.argmax(1)
    above = (flat - flat.mean(1, keepdim=True)) - 0.5 * (flat.amax(1) - flat.mean(1))[:, None]
    rows, columns = (
        axis.flatten().float() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    near = ((rows - (peak // width)[:, None]) ** 2 + (columns - (peak % width)[:, None]) ** 2) <= 16
    weights = above.clamp_min(0) * near
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, functional.one_hot(peak, flat.shape[1]).float())
    weights = weights / weights.sum(1, keepdim=True)
    return torch.stack([weights @ rows, weights @ columns], 1)


def _pairs(examples: list[Example], grid: tuple[int, int], lags: Lags, mean: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield lagged responses `[T,n·bases]`, and luminance and contrast of each cell `[T,2·h·w]`."""
    for example in examples:
        deviation = example.movie.float() / 255 - mean
        seen = torch.stack([deviation, deviation**2], 1)
        cells = functional.adaptive_avg_pool2d(seen, grid)
        yield lags.apply(example.responses.clamp_min(0).sqrt()), cells.flatten(1)


def _bytes(movie: Tensor) -> Tensor:
    return (movie * 255).round().to(torch.uint8)
