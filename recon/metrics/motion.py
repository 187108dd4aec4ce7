"""Motion-energy channels: drifting complex Gabors in Fourier space, i.e. quadrature pairs (Adelson & Bergen 1985)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

STILL = 1.0
"""Temporal bandwidth in Hz of channels with a preferred temporal frequency of 0."""


class Channel(NamedTuple):
    """Preferred spatial frequency (cycles/degree), drift direction (radians, y down) and temporal frequency (Hz)."""

    cycles: float
    direction: float
    hertz: float


def bank(cycles: float, hertz: float, *, directions: int) -> Iterator[Channel]:
    """Yield channels of evenly spaced directions; half as many at 0 Hz, where only orientation matters.

    >>> len(list(bank(0.04, 4.0, directions=8))), len(list(bank(0.04, 0.0, directions=8)))
    (8, 4)
    """
    for number in range(directions if hertz else directions // 2):
        yield Channel(cycles, 2 * math.pi * number / directions, hertz)


def transfer(like: Tensor, channel: Channel, *, degrees_per_pixel: float, frame_rate: float) -> Tensor:
    """Return a channel's transfer function `[T,H,W]` for movies `[C,T,H,W]`: a Gaussian at the preferred frequencies.

    Bandwidths are half the preferred frequencies. A grating cos(2π(k·x − ft)) drifts along k and has energy at
    (k, −f) and (−k, f); the channel passes (k, −f) only.
    """
    _, frames, height, width = like.shape
    time = torch.fft.fftfreq(frames, 1 / frame_rate, device=like.device)[:, None, None]
    rows = torch.fft.fftfreq(height, degrees_per_pixel, device=like.device)[:, None]
    columns = torch.fft.fftfreq(width, degrees_per_pixel, device=like.device)
    cycles, angle, hertz = channel
    temporal = torch.exp(-0.5 * ((time + hertz) / (0.5 * hertz or STILL)).square())
    space = (rows - cycles * math.sin(angle)).square() + (columns - cycles * math.cos(angle)).square()
    return temporal * torch.exp(-0.5 * space / (0.5 * cycles) ** 2)


def energy(spectrum: Tensor) -> Tensor:
    """Return |inverse transform|² `[1,C,T,H,W]`, with even dimensions subsampled by 2 by folding the spectrum.

    Channels are band-limited, so the skipped samples are nearly redundant.
    """
    even = [dim for dim in (1, 2, 3) if spectrum.shape[dim] % 2 == 0]
    for dim in even:
        first, second = spectrum.tensor_split(2, dim)
        spectrum = first + second
    passed: Tensor = torch.fft.ifftn(spectrum, dim=(1, 2, 3))
    return (passed.real.square() + passed.imag.square())[None] / float(4 ** len(even))
