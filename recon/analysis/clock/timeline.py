"""Stimulus features and responses of all trials of a recording on one axis of frames, in the order of the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recon.data.check import repeat_sets
from recon.data.layout import Array, data_file, load_array
from recon.data.onsets import session_onsets
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey

LUMINANCE, ENERGY = (9, 16), (6, 8)
"""Grids (rows, columns) of mean grey levels, and of contrast and change."""
NEURONS = 200
"""Neurons used at most, evenly spaced among those that vary."""
FRAMES = 216_000
"""Frames used at most (two hours at 30 Hz): of longer recordings, evenly spaced trials."""
SHORTEST = 20
"""Frames of the shortest trial that is used."""


@dataclass(frozen=True)
class Timeline:
    """Features `[S,F]` and responses `[S,N]` of the frames of all trials, each trial and column of mean zero.

    Trial i has index `trials[i]`, frames `spans[i]` [first, end), onset `onsets[i]` in seconds and content
    `clips[i]`, equal for repeats. Frames `runs[i]` [first, end) around it were recorded without a break. `timed`:
    onsets are known; otherwise trials are taken to follow one another. `rate` in Hz.
    """

    features: Tensor
    responses: Tensor
    trials: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    runs: tuple[tuple[int, int], ...]
    onsets: Array
    clips: tuple[int, ...]
    timed: bool
    rate: float

    @property
    def lengths(self) -> list[int]:
        """Frames of every trial."""
        return [end - first for first, end in self.spans]

    @property
    def progress(self) -> Array:
        """Position of the middle of every trial in the session, from -0.5 to 0.5."""
        middle = self.onsets + np.array(self.lengths) / (2 * self.rate)
        span = middle.max() - middle.min()
        return (middle - middle.min()) / span - 0.5 if span > 0 else np.zeros(len(middle))

    @property
    def seconds(self) -> float:
        """Time from the middle of the first trial to the middle of the last."""
        middle = self.onsets + np.array(self.lengths) / (2 * self.rate)
        return float(middle.max() - middle.min())

    @property
    def until_first(self) -> float:
        """Time from the start of the session to the middle of the first trial, in seconds."""
        return float((self.onsets + np.array(self.lengths) / (2 * self.rate)).min() - min(self.onsets.min(), 0.0))


def read_timeline(recording: SensoriumRecording, found: Survey) -> Timeline | None:
    """Read the readable trials with responses; None if fewer than two are long enough or no neuron varies."""
    onsets, timed = session_onsets(recording, {i: one.frames for i, one in found.facts.items()})
    usable = [i for i, one in found.facts.items() if one.responses and one.frames >= SHORTEST]
    chosen = sorted(_within(usable, found), key=lambda i: onsets[i])
    neurons = _varying(found, chosen)
    if len(chosen) < 2 or not len(neurons):
        return None
    lengths = [found.facts[i].frames for i in chosen]
    edges = np.cumsum([0, *lengths]).tolist()
    frames = dict(zip(chosen, lengths, strict=True))
    features = torch.cat([_centred(stimulus_features(_video(recording, i, n))) for i, n in frames.items()])
    responses = torch.cat([_centred(_activity(recording, i, n, neurons)) for i, n in frames.items()])
    starts = np.array([onsets[i] for i in chosen])
    same = {i: repeats[0] for repeats in repeat_sets(recording, found) for i in repeats}
    return Timeline(
        _scaled(features),
        _scaled(responses),
        tuple(chosen),
        tuple(pairwise(edges)),
        tuple(_runs(edges, starts, recording.frame_rate) if timed else pairwise(edges)),
        starts,
        tuple(same.get(i, i) for i in chosen),
        timed,
        recording.frame_rate,
    )


def stimulus_features(video: Tensor) -> Tensor:
    """Return features `[T,F]` of frames `[T,H,W]`: mean grey level, contrast and change since the frame before, local.

    >>> stimulus_features(torch.zeros(5, 36, 64)).shape
    torch.Size([5, 240])
    """
    fine = _pooled(video, LUMINANCE)
    contrast = (_pooled(video.square(), ENERGY) - _pooled(video, ENERGY).square()).clamp_min(0).sqrt()
    step = torch.zeros_like(video)
    step[1:] = (video[1:] - video[:-1]).abs()
    return torch.cat([fine, contrast, _pooled(step, ENERGY)], 1)


def _pooled(video: Tensor, grid: tuple[int, int]) -> Tensor:
    size = (min(grid[0], video.shape[1]), min(grid[1], video.shape[2]))
    return functional.adaptive_avg_pool2d(video[:, None], size).flatten(1)


def _video(recording: SensoriumRecording, index: int, frames: int) -> Tensor:
    stored = load_array(data_file(recording.path, "videos", index), mapped=True)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(stored[..., :frames], -1, 0), dtype=np.float32))


def _activity(recording: SensoriumRecording, index: int, frames: int, neurons: Array) -> Tensor:
    stored = load_array(data_file(recording.path, "responses", index), mapped=True)
    known = np.arange(len(stored))[recording.masked.kept][neurons]
    rows = np.asarray(stored[known, :frames], dtype=np.float32)
    return torch.from_numpy(np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0).T.copy())


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(0)


def _scaled(values: Tensor) -> Tensor:
    """Return columns of standard deviation 1; constant ones become zero."""
    deviation = values.square().mean(0).sqrt()
    return values * torch.where(deviation > 1e-6, 1 / deviation, torch.zeros_like(deviation))


def _within(usable: Sequence[int], found: Survey) -> list[int]:
    total = sum(found.facts[i].frames for i in usable)
    count = max(int(len(usable) * FRAMES / total), 2) if total > FRAMES else len(usable)
    return spread(usable, count)


def spread(items: Sequence[int], count: int) -> list[int]:
    """Return `count` items evenly spaced in a sequence, or all if there are not more.

    >>> spread(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= count:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int).tolist()]


def _varying(found: Survey, chosen: Sequence[int]) -> Array:
    """Return the neurons used: finite in all trials, and not constant."""
    if not chosen:
        return np.empty(0, dtype=int)
    frames = sum(found.facts[i].frames for i in chosen)
    total = np.sum([found.facts[i].total for i in chosen], axis=0) / frames
    square = np.sum([found.facts[i].square for i in chosen], axis=0) / frames
    with np.errstate(invalid="ignore"):
        varies = np.flatnonzero(np.isfinite(square) & (square - total**2 > 1e-9 * square))
    return np.array(spread(varies.tolist(), NEURONS), dtype=int)


def _runs(edges: Sequence[int], onsets: Array, rate: float) -> Iterator[tuple[int, int]]:
    """Yield, for every trial, the frames around it that were recorded without a break."""
    gaps = onsets[:-1] + np.diff(edges)[:-1] / rate - onsets[1:]
    breaks = [0, *(np.flatnonzero(np.abs(gaps) > 0.5 / rate) + 1).tolist(), len(onsets)]
    for first, end in pairwise(breaks):
        for _ in range(first, end):
            yield edges[first], edges[end]
