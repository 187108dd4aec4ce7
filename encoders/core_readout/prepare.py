"""Data-dependent initialisation of an encoder: response scales, behavior statistics, receptive-field positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.encoders.base import Encoder
from recon.encoders.behavior import behavior_moments
from recon.encoders.core_readout.core import Core, CoreSettings, temporal_filters
from recon.encoders.training.clips import TrainingClip

BANK = CoreSettings(lags=14, temporal=3, block=4, kernel=4, features=48, mixing=1, hidden=1)
"""Filter bank of the receptive-field regression."""
EVERY = 2
"""Temporal subsampling of the receptive-field regression."""


@torch.no_grad()
def prepare(encoder: Encoder, clips: Sequence[TrainingClip]) -> None:
    """Set response scales, biases at the mean rate, behavior statistics, and receptive-field positions."""
    model: Any = encoder
    std, mean = response_statistics(clips)
    model.scale.copy_(std)
    for module in encoder.modules():
        if type(module).__name__ in ("BehaviorGain", "PupilShift"):
            _behavior_statistics(module, encoder.spec.behavior, clips)
    model.calibrate(clips[0].movie.to(model.scale.device))
    model.place(receptive_fields(clips), mean / std)


def response_statistics(clips: Sequence[TrainingClip]) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean `[N]` of responses; deviations are floored at 1 % of their average."""
    count = sum(clip.responses.shape[1] for clip in clips)
    mean = torch.stack([clip.responses.double().sum(1) for clip in clips]).sum(0) / count
    square = torch.stack([(clip.responses.double() - mean[:, None]).square().sum(1) for clip in clips]).sum(0) / count
    std = square.sqrt()
    return std.clamp_min(0.01 * float(std.mean()) + 1e-12).float(), mean.float()


def _behavior_statistics(module: Any, names: tuple[str, ...], clips: Sequence[TrainingClip]) -> None:
    if type(module).__name__ == "PupilShift":
        names = tuple(names[row] for row in module.rows)
    mean, std = behavior_moments(names, [clip.behavior for clip in clips])
    module.mean.copy_(mean)
    module.std.copy_(std)


@torch.no_grad()
def receptive_fields(clips: Sequence[TrainingClip]) -> Tensor:
    """Return initial estimates `[N,2]` of receptive-field centres (x, y in −1 … 1 of the frame).

    At each position of a coarse grid, responses are regressed (ridge) on a fixed bank of rectified space–time Gabor
    filters. The centre is the peak of the smoothed explained variance. Good initial positions spare the readout a
    search over the whole frame.
    """
    with torch.random.fork_rng(devices=[]):
        bank = Core(BANK).requires_grad_(False)
    bank.initialise(torch.Generator().manual_seed(0))
    gram, cross = torch.zeros(()), torch.zeros(())
    for clip in clips:
        features = _outputs(bank, clip.movie)
        responses = clip.responses[:, BANK.lags - 1 :: EVERY].T
        gram = gram + features.transpose(1, 2) @ features
        cross = cross + features.transpose(1, 2) @ (responses - responses.mean(0))
    ridge = 0.02 * gram.diagonal(dim1=1, dim2=2).mean() * torch.eye(BANK.features)
    explained = (torch.linalg.solve(gram + ridge, cross) * cross).sum(1)
    rows, columns = (-(-side // BANK.block) for side in clips[0].movie.shape[2:])
    side = torch.tensor([columns, rows])
    return (_peak(explained.T.reshape(-1, rows, columns)) + bank.first) / side * 2 - 1


def _outputs(bank: Core, movie: Tensor) -> Tensor:
    """Return centred outputs `[places,T,F]` of the bank for the frames of a movie with full history."""
    grey = (movie.mean(0) - movie.mean())[None] / movie.std().clamp_min(1e-6)
    frames = movie.shape[1] - BANK.lags + 1
    planes = temporal_filters(bank.in_blocks(grey), bank.temporal, span=frames)[0, ::EVERY].flatten(1, 2)
    outputs = rearrange(functional.relu(bank.filtered(planes)), "t f h w -> (h w) t f")
    return outputs - outputs.mean(1, keepdim=True)


def _peak(power: Tensor) -> Tensor:
    """Return the peak (x, y) of smoothed maps `[N,rows,columns]` in grid cells, refined to the local centroid."""
    rows, columns = power.shape[1:]
    smooth = functional.avg_pool2d(power[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    best = smooth.flatten(1).argmax(1)
    y, x = best // columns, best % columns
    grid_y, grid_x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    near = ((grid_y - y[:, None, None]).abs() <= 1) & ((grid_x - x[:, None, None]).abs() <= 1)
    weight = (power - power.amin((1, 2), keepdim=True)) ** 2 * near
    total = weight.sum((1, 2)).clamp_min(1e-20)
    return torch.stack([(weight * grid).sum((1, 2)) / total for grid in (grid_x, grid_y)], 1)
