"""Measurements from trials: neuron sets applied, responses per frame or per acquisition bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon.data.layout import Array
from recon.errors import InputError
from recon.errors.ranges import Count
from recon.types import Acquisition, AcquisitionTimes, Measurement, Recording, stack

Bins = Count | Literal["acquisition"]


def measurement(
    recording: Recording, trials: Sequence[int], sets: Mapping[str, Tensor], *, bins: Bins = 1
) -> tuple[Tensor, Measurement]:
    """Return movies `[B,C,T,H,W]` (for scores) and their measurement, with report neurons zeroed.

    `bins` is 1 for responses per frame, k > 1 for means over k frames (an incomplete last bin is dropped), or
    "acquisition" for the sampling bins of the microscope.
    """
    _check_sets(recording, sets)
    movie, responses, behavior = stack([recording.trial(index) for index in trials])
    visible = ~sets["report"]
    return movie, Measurement(
        responses * visible[:, None],
        behavior,
        sets["fit"].clone(),
        sets["selection"].clone(),
        torch.ones(len(movie), movie.shape[2], dtype=torch.bool),
        binning(recording, frames=movie.shape[2], bins=bins),
    )


def binning(recording: Recording, *, frames: int, bins: Bins) -> Acquisition | None:
    """Return the observation operator of a recording for trials of `frames` frames; None for `bins` = 1."""
    if bins == "acquisition":
        if recording.acquisition is None:
            raise InputError(f"bins: expected acquisition times in {recording.path}, got none; set bins to a number")
        return acquisition_operator(recording.acquisition, frames=frames, frame_rate=recording.frame_rate)
    if not 1 <= bins <= frames:
        raise InputError(f"bins: expected 1 to {frames} frames or 'acquisition', got {bins}")
    return None if bins == 1 else uniform_operator(bins, frames=frames, neurons=len(recording.unit_ids))


def repeats_of(recording: Recording, trial: int) -> tuple[int, ...]:
    """Return all trials with the same video as `trial`, itself included, in order."""
    content = recording.video_ids[trial]
    return tuple(i for i, other in enumerate(recording.video_ids) if other == content and recording.tiers[i] != "none")


def uniform_operator(width: int, *, frames: int, neurons: int) -> Acquisition:
    """Return the operator that averages rates and responses over bins of `width` frames.

    >>> uniform_operator(2, frames=5, neurons=1).rates_operator[0].tolist()
    [[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 0.0]]
    """
    count = frames // width
    matrix = torch.zeros(count, frames)
    for k in range(count):
        matrix[k, k * width : (k + 1) * width] = 1 / width
    return Acquisition(matrix[None], matrix[None].clone(), torch.zeros(neurons, dtype=torch.long))


def acquisition_operator(times: AcquisitionTimes, *, frames: int, frame_rate: float) -> Acquisition:
    """Return the operator of a microscope that samples plane by plane, for trials that start at time 0.

    The rate of frame t holds over [t, t + 1)/frame_rate. Sample k of plane p is the mean rate over the 1/rate seconds
    that end at s = phase[p] + k/rate. Files hold the samples interpolated linearly at t/frame_rate. A sample has a row
    if its interval lies in the trial and the trial's frames determine it. Planes with fewer rows are zero-padded;
    `Acquisition.bin_mask` masks the padding.
    """
    if max(times.plane) >= len(times.phase):
        raise InputError(f"acquisition: expected a phase for plane {max(times.plane)}, got {len(times.phase)} phases")
    planes = [_plane_operators(times.rate, phase, frames=frames, frame_rate=frame_rate) for phase in times.phase]
    count = max(len(rates) for rates, _ in planes)
    operators = np.zeros((2, len(planes), count, frames), dtype=np.float32)
    for p, pair in enumerate(planes):
        operators[:, p, : len(pair[0])] = np.stack(pair)
    plane = torch.tensor(times.plane, dtype=torch.long)
    return Acquisition(torch.from_numpy(operators[0]), torch.from_numpy(operators[1]), plane)


def interpolation_matrix(samples: Array, queries: Array) -> Array:
    """Return the linear-interpolation matrix `[queries, samples]` for increasing sample times (seconds).

    >>> interpolation_matrix(np.array([0.0, 1.0]), np.array([0.25])).tolist()
    [[0.75, 0.25]]
    """
    right = np.clip(np.searchsorted(samples, queries, side="right"), 1, len(samples) - 1)
    weight = (queries - samples[right - 1]) / (samples[right] - samples[right - 1])
    matrix, rows = np.zeros((len(queries), len(samples))), np.arange(len(queries))
    matrix[rows, right - 1], matrix[rows, right] = 1 - weight, weight
    return matrix


def overlap_matrix(ends: Array, *, length: float, frames: int, frame_rate: float) -> Array:
    """Return `[samples, frames]`: the fraction of each sample's interval [end − length, end] in each frame."""
    starts = np.arange(frames) / frame_rate
    shared = np.minimum(ends[:, None], starts + 1 / frame_rate) - np.maximum(ends[:, None] - length, starts)
    shares: Array = np.clip(shared, 0, None) / length
    return shares


def _plane_operators(rate: float, phase: float, *, frames: int, frame_rate: float) -> tuple[Array, Array]:
    """Return the operators `[K,T]` of rates and responses; samples around the trial are unknowns, as they affect it."""
    first, last = np.floor(-phase * rate) - 1, np.ceil((frames / frame_rate - phase) * rate) + 1
    samples = phase + np.arange(first, last + 1) / rate
    rates = overlap_matrix(samples, length=1 / rate, frames=frames, frame_rate=frame_rate)
    forward = interpolation_matrix(samples, np.arange(frames) / frame_rate)
    inverse = np.linalg.pinv(forward, rcond=1e-6)
    determined = np.abs((inverse @ forward).diagonal() - 1) < 1e-6
    chosen = determined & (rates.sum(1) > 1 - 1e-6)
    if not chosen.any():
        raise InputError(f"acquisition: expected over {2 / rate:.2f} s of frames at {rate} Hz, got {frames}; lengthen")
    return rates[chosen], inverse[chosen]


def _check_sets(recording: Recording, sets: Mapping[str, Tensor]) -> None:
    count = len(recording.unit_ids)
    for name in ("fit", "selection", "report"):
        if name not in sets or sets[name].shape != (count,) or sets[name].dtype != torch.bool:
            got = tuple(sets[name].shape) if name in sets else "none"
            raise InputError(f"neuron sets: expected a mask {name!r} of {count} neurons, got {got}; use neuron_sets")
    members = sum(sets[name].int() for name in ("fit", "selection", "report"))
    if not torch.equal(torch.as_tensor(members), torch.ones(count, dtype=torch.int)):
        raise InputError("neuron sets: expected every neuron in exactly one set, got a partition with gaps or overlaps")
