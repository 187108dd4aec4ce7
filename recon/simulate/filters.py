"""Filters of the simulated cells: Gabor pairs in space, causal quadrature pairs in time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.simulate.cells import LUMINANCE, Cells

KERNEL = 12
"""Length of the temporal kernels in frames; with the deconvolution kernel a response depends on at most 14 frames."""
FRAME_RATE = 30.0
NEGLIGIBLE = 1e-30
"""Filter values below this are set to zero: subnormal numbers slow down products up to seventyfold."""


def pixel_grid(frame_size: tuple[int, int], degrees_per_pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y `[H*W]` of the pixel centres in degrees from the screen centre (y down)."""
    height, width = frame_size
    y, x = np.mgrid[:height, :width]
    return (
        ((x - (width - 1) / 2) * degrees_per_pixel).ravel(),
        ((y - (height - 1) / 2) * degrees_per_pixel).ravel(),
    )


def spatial_filters(cells: Cells, frame_size: tuple[int, int], degrees_per_pixel: float) -> Tensor:
    """Return even and odd Gabor filters `[2,N,H*W]`, divided by the envelope's L2 norm on an unbounded screen.

    The carrier's phase increases along the cell's direction. Luminance cells have a Gaussian filter of sign ±1; their
    odd filter is zero.
    """
    along, envelope = _envelopes(cells, frame_size, degrees_per_pixel)
    carrier = 2 * np.pi * cells.spatial_frequency[:, None] * along + cells.phase[:, None]
    flat = (cells.kind == LUMINANCE)[:, None]
    even = np.where(flat, cells.sign[:, None], np.cos(carrier)) * envelope
    odd = np.where(flat, 0.0, np.sin(carrier)) * envelope
    norm = np.sqrt(np.pi * cells.aspect) * cells.radius / degrees_per_pixel
    filters = np.stack([even, odd]) / norm[None, :, None]
    return torch.from_numpy(np.where(np.abs(filters) < NEGLIGIBLE, 0.0, filters)).float()


def covered(cells: Cells, frame_size: tuple[int, int], degrees_per_pixel: float, *, share: float = 0.1) -> np.ndarray:
    """Return the true mask `[H,W]` of a population: sum of its envelopes (peak 1) ≥ `share` × the sum's maximum."""
    total = _envelopes(cells, frame_size, degrees_per_pixel)[1].sum(0).reshape(frame_size)
    seen: np.ndarray = total >= share * total.max()
    return seen


def _envelopes(cells: Cells, frame_size: tuple[int, int], degrees_per_pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions along the carrier in degrees and Gaussian envelopes of peak 1, both `[N,H*W]`."""
    x, y = pixel_grid(frame_size, degrees_per_pixel)
    dx, dy = x[None] - cells.centre_x[:, None], y[None] - cells.centre_y[:, None]
    cosine, sine = np.cos(cells.direction)[:, None], np.sin(cells.direction)[:, None]
    along, across = dx * cosine - dy * sine, dx * sine + dy * cosine
    radius = cells.radius[:, None]
    return along, np.exp(-0.5 * ((along / radius) ** 2 + (across / (radius * cells.aspect[:, None])) ** 2))


def temporal_filters(cells: Cells) -> Tensor:
    """Return even and odd causal kernels `[2,N,L]` over lags 0…L−1 frames, tapered to zero at the end.

    Gamma envelope with its peak at the latency, times cos and sin of 2πf(lag − latency). Kernels have unit gain at the
    preferred frequency, except that the odd one is amplified at most twofold relative to the even one.
    """
    lag = np.arange(KERNEL)[None] + 0.5
    peak = (cells.latency * FRAME_RATE)[:, None]
    taper = np.cos(0.5 * np.pi * np.clip((lag - 0.6 * KERNEL) / (0.4 * KERNEL), 0, 1)) ** 2
    envelope = (lag / peak) ** 3.5 * np.exp(3.5 * (1 - lag / peak)) * taper
    omega = 2 * np.pi * cells.temporal_frequency[:, None] / FRAME_RATE
    even, odd = envelope * np.cos(omega * (lag - peak)), envelope * np.sin(omega * (lag - peak))
    wave = np.exp(-1j * omega * lag)
    passed_even, passed_odd = np.abs((even * wave).sum(1)), np.abs((odd * wave).sum(1))
    scale = np.minimum(passed_even / passed_odd, 2.0)[:, None] / passed_even[:, None]
    return torch.from_numpy(np.stack([even / passed_even[:, None], odd * scale])).float()
