"""Observation operators: from frames to bins of several frames, or to the samples that a microscope took."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.types import Acquisition, AcquisitionTimes, Recording

Bins = int | Literal["acquisition"]
Matrix = NDArray[np.float64]


def operator(bins: Bins, recording: Recording, *, frames: int) -> Acquisition | None:
    """Return what turns frames into bins: nothing for 1, means of `bins` frames, or the recording's samples."""
    if bins == "acquisition":
        if recording.acquisition is None:
            raise ValueError(
                f"bins: expected acquisition times in {recording.name}, got none; "
                "use a number of frames, or 1 for responses at the frame rate"
            )
        return sampled(recording.acquisition, frame_rate=recording.frame_rate, frames=frames)
    if not 1 <= bins <= frames:
        raise ValueError(f"bins: expected 1 to {frames} frames or acquisition, got {bins}; correct this value")
    return None if bins == 1 else pooled(bins, frames=frames, neurons=len(recording.unit_ids))


def pooled(bins: int, *, frames: int, neurons: int) -> Acquisition:
    """Return the operator that averages rates and responses over `bins` frames; a rest at the end is left out.

    >>> pooled(2, frames=5, neurons=1).bin_rates(torch.arange(5.0)[None, None]).tolist()
    [[[0.5, 2.5]]]
    """
    matrix = torch.eye(frames // bins).repeat_interleave(bins, 1) / bins
    padded = torch.cat([matrix, torch.zeros(len(matrix), frames - matrix.shape[1])], 1)[None]
    return Acquisition(padded, padded, torch.zeros(neurons, dtype=torch.long))


def sampled(times: AcquisitionTimes, *, frame_rate: float, frames: int) -> Acquisition:
    """Return the operator of a scanning microscope: rates are averaged over the time that a sample integrates.

    Responses were interpolated linearly from samples to frames; the pseudo-inverse of that gives the samples back.
    """
    samples = math.floor((frames - 1) / frame_rate * times.rate - max(times.phase) * times.rate + 1e-9) + 1
    ends = [np.asarray(phase + np.arange(samples) / times.rate) for phase in times.phase]
    rates = [_averages(end - 1 / times.rate, end, frame_rate, frames) for end in ends]
    responses = [np.linalg.pinv(_interpolation(end, frame_rate, frames), rcond=1e-6) for end in ends]
    return Acquisition(_tensor(rates), _tensor(responses), torch.tensor(times.plane))


def _averages(begins: Matrix, ends: Matrix, frame_rate: float, frames: int) -> Matrix:
    """Share of each bin's time that falls on each frame; frame t lasts from t to t+1 over the frame rate."""
    shown = np.arange(frames) / frame_rate
    overlap = np.minimum(ends[:, None], shown + 1 / frame_rate) - np.maximum(begins[:, None], shown)
    share: Matrix = overlap.clip(0) / (ends - begins)[:, None]
    return share


def _interpolation(samples: Matrix, frame_rate: float, frames: int) -> Matrix:
    """Matrix [T,K] that interpolates samples linearly to the frame times, constant beyond the ends."""
    times = np.arange(frames) / frame_rate
    return np.stack([np.interp(times, samples, unit) for unit in np.eye(len(samples))], 1)


def _tensor(matrices: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(matrices)).float()
