"""Frequency-resolved correlations and motion energy: band-passed references and gratings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal.windows import hann
from torch import Tensor

from recon.metrics.frequency import (
    DIRECTIONS,
    MOTION_BANDS,
    MOTION_CHANNELS,
    motion_energy_correlation,
    spatial_frequency_correlation,
    temporal_frequency_correlation,
)
from recon.metrics.motion import energy, transfer


def movies(batch: int = 2, size: tuple[int, int, int] = (30, 20, 24)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(batch, 1, *size, generator=generator)
    return (0.5 * truth + 0.5 * torch.rand(batch, 1, *size, generator=generator)), truth


def grating(cycles: float, hertz: float, direction: float = 0.0, phase: float = 0.0) -> Tensor:
    """A drifting grating `[1,1,60,36,64]` at 1.45° per pixel and 30 Hz."""
    t, y, x = torch.meshgrid(torch.arange(60) / 30, 1.45 * torch.arange(36), 1.45 * torch.arange(64), indexing="ij")
    along = x * math.cos(direction) + y * math.sin(direction)
    return (0.5 + 0.4 * torch.cos(2 * math.pi * (cycles * along - hertz * t) + phase))[None, None]


def test_spatial_bands_are_correlations_of_band_passed_movies() -> None:
    x, y = movies()
    axis, values = spatial_frequency_correlation(x, y, edges=(0.02, 0.1, 0.3))
    np.testing.assert_allclose(axis, [math.sqrt(0.002), math.sqrt(0.03)], rtol=1e-6)
    taper = np.outer(hann(22)[1:-1], hann(26)[1:-1])
    frequency = np.hypot(np.fft.fftfreq(20, 1.45)[:, None], np.fft.fftfreq(24, 1.45))
    for band, (low, high) in enumerate(((0.02, 0.1), (0.1, 0.3))):
        keep = (frequency >= low) & (frequency < high)
        passed = []
        for movie in (x[1, 0].double().numpy(), y[1, 0].double().numpy()):
            tapered = (movie - movie.mean((1, 2), keepdims=True)) * taper
            passed.append(np.fft.ifft2(np.fft.fft2(tapered) * keep).real.ravel())
        assert float(values[1, band]) == pytest.approx(np.corrcoef(*passed)[0, 1], abs=1e-6)


def test_temporal_bands_are_correlations_of_band_passed_movies() -> None:
    x, y = movies()
    pixels = torch.zeros(20, 24, dtype=torch.bool)
    pixels[3:9, 4:20] = True
    axis, values = temporal_frequency_correlation(x, y, pixels, edges=(0.5, 4.0, 15.01))
    assert axis.shape == (2,) and values.shape == (2, 2)
    frequency = np.abs(np.fft.fftfreq(30, 1 / 30))
    for band, (low, high) in enumerate(((0.5, 4.0), (4.0, 15.01))):
        keep = ((frequency >= low) & (frequency < high))[:, None]
        passed = []
        for movie in (x[0, 0][:, pixels].double().numpy(), y[0, 0][:, pixels].double().numpy()):
            tapered = (movie - movie.mean(0)) * hann(32)[1:-1, None]
            passed.append(np.fft.ifft(np.fft.fft(tapered, axis=0) * keep, axis=0).real.ravel())
        assert float(values[0, band]) == pytest.approx(np.corrcoef(*passed)[0, 1], abs=1e-6)


@pytest.mark.parametrize("curve", [spatial_frequency_correlation, temporal_frequency_correlation])
def test_identities(curve: object) -> None:
    assert callable(curve)
    _, y = movies(size=(90, 36, 64))
    axis, same = curve(y, y)
    assert axis.shape == same.shape[1:]
    torch.testing.assert_close(same, torch.ones_like(same))
    torch.testing.assert_close(curve(1 - y, y)[1], -torch.ones_like(same))
    assert curve(torch.full_like(y, 0.3), y)[1].isnan().all()


def test_low_pass_keeps_the_low_bands_only() -> None:
    low, high = grating(0.03, 2.0), grating(0.12, 10.0)
    mixed = 0.5 * (low + high)
    _, spatial = spatial_frequency_correlation(low, mixed)
    _, temporal = temporal_frequency_correlation(low, mixed)
    assert spatial[0, 1] > 0.95 and spatial[0, 3].abs() < 0.3
    assert temporal[0, 3] > 0.95 and temporal[0, 5].abs() < 0.3


def test_bands_without_frequencies_are_nan() -> None:
    x, y = movies(size=(10, 12, 12))
    assert temporal_frequency_correlation(x, y)[1][:, :2].isnan().all()
    assert temporal_frequency_correlation(x, y)[1][:, 4:].isfinite().all()


@pytest.mark.parametrize("direction", range(DIRECTIONS))
@pytest.mark.parametrize("band", range(len(MOTION_BANDS)))
def test_channels_prefer_their_own_grating(direction: int, band: int) -> None:
    cycles, hertz = MOTION_BANDS[band]
    movie = grating(cycles, hertz, 2 * math.pi * direction / DIRECTIONS)[0]
    spectrum = torch.fft.fftn(movie - movie.mean(), dim=(1, 2, 3))
    passed = (transfer(movie, channel, degrees_per_pixel=1.45, frame_rate=30.0) for channel in MOTION_CHANNELS)
    energies = [float((spectrum * one).abs().square().sum()) for one in passed]
    assert int(np.argmax(energies)) == band * DIRECTIONS + direction


def test_motion_energy_ignores_polarity_and_sees_direction() -> None:
    generator = torch.Generator().manual_seed(1)
    texture = torch.rand(36, 160, generator=generator)
    texture = torch.nn.functional.avg_pool2d(texture[None, None], 5, 1, 2)[0, 0]
    right = torch.stack([texture[:, 80 - t : 144 - t] for t in range(48)])[None, None]
    torch.testing.assert_close(motion_energy_correlation(1 - right, right), torch.ones(1))
    backwards = right.flip(2)
    assert motion_energy_correlation(backwards, right) < 0.6
    noisy = right + 0.05 * torch.randn(right.shape, generator=generator)
    assert motion_energy_correlation(noisy, right) > 0.8


def test_folded_energy_is_the_thinned_one() -> None:
    movie = torch.rand(1, 8, 9, 6, generator=torch.Generator().manual_seed(2))
    spectrum = torch.fft.fftn(movie, dim=(1, 2, 3))
    torch.testing.assert_close(energy(spectrum)[0], movie.square()[:, ::2, :, ::2])


def test_motion_energy_counts_pixels() -> None:
    x, y = movies(1, (32, 24, 24))
    half = x.clone()
    half[..., :12] = y[..., :12]
    pixels = torch.zeros(24, 24, dtype=torch.bool)
    pixels[:, :4] = True
    assert motion_energy_correlation(half, y, pixels) > motion_energy_correlation(half, y, ~pixels)
