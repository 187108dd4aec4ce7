"""What decoders learn from: chunks of recorded responses and movies, and of responses distilled from encoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recon.lagged import Lags
from recon.learning_set import TrainingSet


@dataclass(frozen=True)
class Example:
    """A training trial in memory: movie `[T,H,W]` (0–255, bytes) and responses `[n,T]`."""

    movie: Tensor
    responses: Tensor


def recorded(training: TrainingSet) -> list[Example]:
    """Return all training trials of a training set."""
    return [Example(_bytes(trial.movie[0]), training.responses(trial)) for trial in training.trials()]


def chunk(examples: list[Example], generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return random chunks: responses `[B,n,F]` and movies `[B,1,F,H,W]` in [0,1]; F is less for shorter trials."""
    chosen = torch.randint(len(examples), (batch,), generator=generator).tolist()
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


def as_numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a numpy generator seeded by the next number of a torch generator."""
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
