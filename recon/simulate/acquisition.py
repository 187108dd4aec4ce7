"""The microscope: sequentially sampled imaging planes, interpolated to the movie's frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.simulate.cells import PLANES, Cells
from recon.types import AcquisitionTimes

SAMPLE_RATE, FRAME_RATE = 8.0, 30.0


def acquisition_times(cells: Cells) -> AcquisitionTimes:
    """Return sampling times at 8 Hz, with the phases of the planes evenly spaced over the sampling period."""
    phase = tuple(round(p / (PLANES * SAMPLE_RATE), 6) for p in range(PLANES))
    return AcquisitionTimes(rate=SAMPLE_RATE, phase=phase, plane=tuple(int(p) for p in cells.plane))


def acquire(responses: Tensor, times: AcquisitionTimes) -> Tensor:
    """Return activity `[B,N,T]` at the frame rate as an 8 Hz recording stores it, `[B,N,T]`.

    Frame t covers t/30 to (t+1)/30 s. Sample k of plane p is the mean activity over the 1/rate seconds ending at
    phase[p] + k/rate, restricted to the trial. Samples are interpolated linearly to t/30 s and held constant beyond the
    first and last sample.
    """
    acquired = torch.empty_like(responses)
    plane = torch.tensor(times.plane)
    for p, phase in enumerate(times.phase):
        operator = interpolation_operator(responses.shape[-1], rate=times.rate, phase=phase).to(responses)
        acquired[:, plane == p] = responses[:, plane == p] @ operator.T
    return acquired


def interpolation_operator(frames: int, *, rate: float, phase: float) -> Tensor:
    """Return the operator `[T,T]` from activity per frame to samples interpolated to frame times; rows sum to one.

    >>> interpolation_operator(9, rate=30.0, phase=0.0)[3, 2]
    tensor(1., dtype=torch.float64)
    """
    ends = phase + np.arange(int(np.floor((frames / FRAME_RATE - phase) * rate + 1e-9)) + 1) / rate
    edges = np.arange(frames + 1) / FRAME_RATE
    inside = np.minimum(ends[:, None], edges[None, 1:]) - np.maximum(ends[:, None] - 1 / rate, edges[None, :-1])
    binned = np.clip(inside, 0, None)
    filled = binned.sum(1) > 1e-9
    ends, binned = ends[filled], binned[filled] / binned[filled].sum(1, keepdims=True)
    return torch.from_numpy(_interpolation(np.arange(frames) / FRAME_RATE, ends) @ binned)


def _interpolation(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    columns = [np.interp(wanted, given, unit) for unit in np.eye(len(given))]
    return np.stack(columns, axis=1)
