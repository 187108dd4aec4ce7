"""Similarity of two movies by spatial frequency, by temporal frequency, and in motion energy."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from recon.correlation import double_device, doubled, mean_defined, normalised, pearson, varies
from recon.metrics.motion import bank, energy, transfer
from recon.metrics.movie import check_movies, paired

SPATIAL_EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Edges of the spatial bands in cycles/degree: octaves up to the Nyquist limit for pixels of 1.45°."""

TEMPORAL_EDGES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.01)
"""Edges of the temporal bands in Hz, up to and including the Nyquist limit at 30 frames per second."""

MOTION_BANDS = ((0.04, 4.0), (0.08, 2.0))
"""Preferred frequencies (cycles/degree, Hz) of the motion-energy bank: coarse and fast, fine and slow."""

DIRECTIONS = 8
MOTION_CHANNELS = tuple(channel for band in MOTION_BANDS for channel in bank(*band, directions=DIRECTIONS))


def spatial_frequency_correlation(
    reconstruction: Tensor,
    truth: Tensor,
    pixel_mask: Tensor | None = None,
    *,
    degrees_per_pixel: float = 1.45,
    edges: tuple[float, ...] = SPATIAL_EDGES,
) -> tuple[Tensor, Tensor]:
    """Return band centres `[F]` in cycles/degree and the correlation `[B,F]` of the movies in each spatial band.

    Re Σ X·Y* / √(Σ|X|²·Σ|Y|²) over the band's spatial Fourier coefficients of all frames; by Parseval's theorem the
    Pearson r of the band-passed movies. Each frame's mean over the mask is subtracted, pixels outside the mask are set
    to 0, and a Hann window is applied. Bands without frequencies or without power are NaN.
    """
    height, width = truth.shape[-2:]
    check_movies(reconstruction, truth, pixel_mask)
    taper = _hann(height, truth)[:, None] * _hann(width, truth)
    counts = torch.ones_like(taper) if pixel_mask is None else pixel_mask.to(taper)
    movies = (doubled(reconstruction), doubled(truth))
    spectra = [torch.fft.fft2(_without_mean(movie, counts) * taper).flatten(3) for movie in movies]
    rows, columns = torch.fft.fftfreq(height, degrees_per_pixel), torch.fft.fftfreq(width, degrees_per_pixel)
    frequency = torch.hypot(rows[:, None], columns).flatten().to(taper.device)
    wholes = [height * width * movie.square().flatten(1).sum(1) for movie in movies]
    return _centres(edges), _bands(spectra, wholes, frequency, edges).to(truth.device)


def temporal_frequency_correlation(
    reconstruction: Tensor,
    truth: Tensor,
    pixel_mask: Tensor | None = None,
    *,
    frame_rate: float = 30.0,
    edges: tuple[float, ...] = TEMPORAL_EDGES,
) -> tuple[Tensor, Tensor]:
    """Return band centres `[F]` in Hz and the correlation `[B,F]` of the movies in each temporal band.

    As `spatial_frequency_correlation`, over the temporal Fourier coefficients of the pixels in the mask. Each pixel's
    temporal mean is subtracted and a Hann window is applied.
    """
    taper = _hann(truth.shape[2], truth)[:, None]
    series = [doubled(movie) for movie in paired(reconstruction, truth, pixel_mask)]
    spectra = [torch.fft.fft((s - s.mean(2, keepdim=True)) * taper, dim=2).transpose(2, 3) for s in series]
    frequency = torch.fft.fftfreq(truth.shape[2], 1 / frame_rate).abs().to(taper.device)
    wholes = [truth.shape[2] * movie.square().flatten(1).sum(1) for movie in series]
    return _centres(edges), _bands(spectra, wholes, frequency, edges).to(truth.device)


def motion_energy_correlation(
    reconstruction: Tensor,
    truth: Tensor,
    pixel_mask: Tensor | None = None,
    *,
    degrees_per_pixel: float = 1.45,
    frame_rate: float = 30.0,
) -> Tensor:
    """Return the correlation `[B]` of motion-energy maps over frames and pixels, mean over a bank of 16 channels.

    A channel's energy is the squared modulus of the movie filtered by a drifting complex Gabor, the quadrature pair
    of Adelson & Bergen 1985: a Gaussian in Fourier space centred on (cycles/degree, direction, Hz); see `MOTION_BANDS`.
    Energy is invariant to polarity: a movie and its negative correlate with 1. Boundaries are periodic; dimensions of
    even size are subsampled by 2. Movies without contrast are NaN.
    """
    check_movies(reconstruction, truth, pixel_mask)
    scale = (degrees_per_pixel, frame_rate)
    pairs = zip(reconstruction.float(), truth.float(), strict=True)
    return torch.stack([_motion_energy(x, y, pixel_mask, scale) for x, y in pairs]).float()


def _motion_energy(x: Tensor, y: Tensor, pixel_mask: Tensor | None, scale: tuple[float, float]) -> Tensor:
    """Return the correlation `[]` of one clip `[C,T,H,W]`; one channel at a time bounds the memory."""
    changes = [movie - movie.mean((1, 2, 3), keepdim=True) for movie in (x, y)]
    powers = [(change.square().mean(), movie.square().mean()) for change, movie in zip(changes, (x, y), strict=True)]
    if not all(varies(variance, power) for variance, power in powers):
        return x.new_tensor(torch.nan)
    spectra = [torch.fft.fftn(change, dim=(1, 2, 3)) for change in changes]
    rows, columns = (2 - size % 2 for size in x.shape[2:])
    pixel_mask = None if pixel_mask is None else pixel_mask[::rows, ::columns]
    scores = []
    for channel in MOTION_CHANNELS:
        passed = transfer(x, channel, degrees_per_pixel=scale[0], frame_rate=scale[1])
        energies = [energy(spectrum * passed) for spectrum in spectra]
        first, second = paired(energies[0], energies[1], pixel_mask)
        scores.append(pearson(first.flatten(1), second.flatten(1))[0])
    return mean_defined(torch.stack(scores)).float()


def _bands(spectra: list[Tensor], wholes: list[Tensor], frequency: Tensor, edges: tuple[float, ...]) -> Tensor:
    """Return the correlation `[B,F]` of two spectra `[B,…,M]` in each half-open band of the frequencies `[M]`.

    `wholes` `[B]` are the powers of the movies, in units of the spectra: the band-passed movie is compared with them.
    """
    cross = (spectra[0] * spectra[1].conj()).real.flatten(1, -2).sum(1)
    powers = [torch.view_as_real(one).square().sum(-1).flatten(1, -2).sum(1) for one in spectra]
    values = []
    for low, high in pairwise(edges):
        members = (frequency >= low) & (frequency < high)
        first, second = (power[:, members].sum(1) for power in powers)
        values.append(normalised(cross[:, members].sum(1), (first, second), (wholes[0], wholes[1])))
    return torch.stack(values, 1).float()


def _without_mean(movie: Tensor, counts: Tensor) -> Tensor:
    mean = (movie * counts).sum((-2, -1), keepdim=True) / counts.sum().clamp_min(1)
    return (movie - mean) * counts


def _hann(length: int, like: Tensor) -> Tensor:
    return torch.hann_window(length + 2, periodic=False, dtype=torch.float64, device=double_device(like.device))[1:-1]


def _centres(edges: tuple[float, ...]) -> Tensor:
    return torch.tensor([math.sqrt(low * high) for low, high in pairwise(edges)])
