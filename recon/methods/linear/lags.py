"""Lagged responses: the design matrix of linear decoders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Count, Index
from recon.methods.training_set import TrainingSet

REACH = 300
"""Longest lag (frames): no trial is longer, so that responses further away are padding."""


@dataclass(frozen=True)
class Lags:
    """Responses from `first` to `last` frames after a movie frame, projected on `bases` raised-cosine bumps."""

    first: Index = -1
    last: Index = 14
    bases: Count = 5

    def __post_init__(self) -> None:
        if not -REACH <= self.first <= self.last <= REACH:
            raise InputError(
                f"lags: expected first up to last within {REACH} frames, got {self.first} and {self.last}; correct them"
            )

    def kernels(self) -> Tensor:
        """Return the bumps `[bases, last-first+1]`; neighbours overlap by half and each sums to 1.

        >>> Lags(0, 4, 3).kernels().sum(1)
        tensor([1., 1., 1.])
        """
        frames = torch.arange(self.first, self.last + 1, dtype=torch.float32, device="cpu")
        if self.bases >= len(frames):
            return torch.eye(len(frames), device="cpu")
        centres = torch.linspace(self.first, self.last, self.bases, device="cpu")
        width = (self.last - self.first) / max(self.bases - 1, 1)
        phase = ((frames[None] - centres[:, None]) / width).clamp(-1, 1) * math.pi
        bumps = 0.5 * (1 + phase.cos())
        return bumps / bumps.sum(1, keepdim=True)

    def apply(self, responses: Tensor) -> Tensor:
        """Return features `[T, N·bases]` of responses `[N,T]`, zero-padded."""
        return rearrange(self.filtered(responses, self.kernels().to(responses)), "n bump t -> t (n bump)")

    def filtered(self, series: Tensor, kernels: Tensor, *, stride: int = 1) -> Tensor:
        """Return `[M,K,⌈T/stride⌉]`: series `[M,T]` filtered by kernels `[K,L]` over these lags, zero-padded."""
        before, after = max(-self.first, 0), max(self.last, 0)
        padded = functional.pad(series, (before, after))[:, None, self.first + before :]
        if kernels.shape[1] == 1:  # single images: conv1d would process one series at a time
            return (padded * kernels)[..., : series.shape[1] : stride]
        return functional.conv1d(padded, kernels[:, None], stride=stride)[..., : -(-series.shape[1] // stride)]


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation per neuron of training responses, of their square roots with `root`."""

    mean: Tensor
    std: Tensor
    root: bool

    def apply(self, responses: Tensor) -> Tensor:
        """Return standardised responses `[N,T]`."""
        values = responses.clamp_min(0).sqrt() if self.root else responses
        return (values - self.mean[:, None]) / self.std[:, None]


def measure_scaling(training: TrainingSet, *, root: bool) -> Scaling:
    """Measure mean and standard deviation over training trials; the latter is at least 1 % of its mean over neurons."""
    count, total, square = 0, torch.zeros(1), torch.zeros(1)
    for trial in training.trials():
        values = training.responses(trial).double()
        values = values.clamp_min(0).sqrt() if root else values
        count, total, square = count + values.shape[1], total + values.sum(1), square + (values**2).sum(1)
    mean = total / count
    std = (square / count - mean**2).clamp_min(0).sqrt()
    return Scaling(mean.float(), std.clamp_min(0.01 * float(std.mean())).float(), root)


@dataclass(frozen=True)
class Lagged:
    """Lagged responses of a trial, computed from standardised responses `[N,T]` when they are needed."""

    values: Tensor
    lags: Lags

    @property
    def shape(self) -> tuple[int, int]:
        """Frames, and features: neurons × bumps."""
        return self.values.shape[1], len(self.values) * self.unit

    @property
    def unit(self) -> int:
        """Bumps: the features of a neuron belong together."""
        return len(self.lags.kernels())

    def columns(self, first: int, end: int) -> Tensor:
        """Return the features of some neurons `[T,end-first]`; both ends are multiples of the bumps."""
        return self.lags.apply(self.values[first // self.unit : end // self.unit])


def training_pairs(training: TrainingSet, *, lags: Lags, scaling: Scaling) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield features `[T, N·bases]` and frames `[T, H·W]` of each training trial."""
    for features, frames in lagged_pairs(training, lags=lags, scaling=scaling):
        yield features.columns(0, features.shape[1]), frames


def lagged_pairs(training: TrainingSet, *, lags: Lags, scaling: Scaling) -> Iterator[tuple[Lagged, Tensor]]:
    """Yield the pairs of `training_pairs`, with features that are not in memory."""
    for trial in training.trials():
        yield Lagged(scaling.apply(training.responses(trial)), lags), trial.movie[0].flatten(1)
