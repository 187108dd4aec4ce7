"""What an encoder takes from its training clips before it learns: scales, behavior statistics, positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from encoders.base import BEHAVIOR_CHANNELS, Encoder
from encoders.clips import Clip

COARSE = 4
"""Pixels per cell and axis of the grid on which receptive fields are first located."""
LAGS = (1, 4)
"""Frames back that the first look at a receptive field uses."""


@torch.no_grad()
def prepare(encoder: Encoder, clips: Sequence[Clip]) -> None:
    """Set response scales, biases at the mean rate, behavior statistics, and receptive-field positions."""
    model: Any = encoder
    std, mean = response_statistics(clips)
    model.scale.copy_(std)
    for module in encoder.modules():
        if type(module).__name__ in ("BehaviorGain", "PupilShift"):
            _behavior_statistics(module, encoder.spec.behavior, clips)
    model.calibrate(clips[0].movie)
    model.place(receptive_fields(clips), mean / std)


def response_statistics(clips: Sequence[Clip]) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean `[N]` of responses; deviations are floored at 1 % of their mean."""
    count = sum(clip.responses.shape[1] for clip in clips)
    mean = torch.stack([clip.responses.double().sum(1) for clip in clips]).sum(0) / count
    square = torch.stack([(clip.responses.double() - mean[:, None]).square().sum(1) for clip in clips]).sum(0) / count
    std = square.sqrt()
    return std.clamp_min(0.01 * float(std.mean()) + 1e-12).float(), mean.float()


def _behavior_statistics(module: Any, names: tuple[str, ...], clips: Sequence[Clip]) -> None:
    rows = [BEHAVIOR_CHANNELS.index(name) for name in names]
    if type(module).__name__ == "PupilShift":
        rows = [rows[row] for row in module.rows]
    values = torch.cat([clip.behavior[rows] for clip in clips if clip.behavior is not None], 1)
    module.mean.copy_(values.mean(1))
    module.std.copy_(values.std(1).clamp_min(1e-6))


def receptive_fields(clips: Sequence[Clip]) -> Tensor:
    """Return first guesses `[N,2]` of receptive-field centres (x, y in −1 … 1 of the frame).

    Ridge regression of responses on coarse luminance and contrast at two lags; the centre is where the smoothed
    squared weights peak. Starting positions near the truth spare the readout a search over the whole frame.
    """
    rows = clips[0].movie.shape[2] // COARSE or 1
    columns = clips[0].movie.shape[3] // COARSE or 1
    gram, cross = torch.zeros(()), torch.zeros(())
    for clip in clips:
        features = _coarse(clip.movie, rows, columns)
        responses = clip.responses[:, max(LAGS) :].T
        centred = features - features.mean(0)
        gram = gram + centred.T @ centred
        cross = cross + centred.T @ (responses - responses.mean(0))
    ridge = 0.3 * gram.diagonal().mean()
    weights = torch.linalg.solve(gram + ridge * torch.eye(len(gram)), cross)
    power = weights.T.reshape(-1, len(gram) // (rows * columns), rows, columns).square().sum(1)
    return _peak(power)


def _coarse(movie: Tensor, rows: int, columns: int) -> Tensor:
    """Return standardised features `[T−lag, 4·rows·columns]` of a grey movie."""
    frames = movie.mean(0)[:, None]
    local = frames - functional.avg_pool2d(frames, 5, 1, 2, count_include_pad=False)
    change = frames.diff(dim=0, prepend=frames[:1])
    maps = torch.cat([frames, local.abs(), change.abs()], 1)
    coarse = functional.adaptive_avg_pool2d(maps, (rows, columns)).flatten(2)
    coarse = (coarse / coarse.std((0, 2), keepdim=True).clamp_min(1e-6)).flatten(1)
    latest = max(LAGS)
    return torch.cat([coarse[latest - lag : len(coarse) - lag] for lag in LAGS], 1)


def _peak(power: Tensor) -> Tensor:
    """Return the peak (x, y) of smoothed maps `[N,rows,columns]`, refined to the centroid around it."""
    rows, columns = power.shape[1:]
    smooth = functional.avg_pool2d(power[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    best = smooth.flatten(1).argmax(1)
    y, x = best // columns, best % columns
    grid_y, grid_x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    near = ((grid_y - y[:, None, None]).abs() <= 1) & ((grid_x - x[:, None, None]).abs() <= 1)
    weight = power * near
    total = weight.sum((1, 2)).clamp_min(1e-20)
    centre_x = ((weight * (grid_x + 0.5)).sum((1, 2)) / total) / columns
    centre_y = ((weight * (grid_y + 0.5)).sum((1, 2)) / total) / rows
    return torch.stack([centre_x, centre_y], 1) * 2 - 1
