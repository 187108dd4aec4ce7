"""Power spectrum of movies in the cosine basis: covariance of a Gaussian prior, whitening and denoiser.

The orthonormal discrete cosine transform (Ahmed et al. 1974) over (t, y, x) reflects a movie at its borders instead of
wrapping it, so opposite borders need not match and clips need no padding. The prior is the best Gaussian with diagonal
covariance in this basis: variance P(f) = mean squared coefficient of training clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from recon.errors import InputError
from recon.priors.base import Denoiser


@lru_cache(maxsize=32)
def cosine_matrix(size: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    """Return the orthonormal DCT-II matrix `[size,size]`; rows are basis functions.

    >>> matrix = cosine_matrix(8)
    >>> bool(torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6))
    True
    """
    index = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (index[None] + 0.5) * index[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.to(device=device, dtype=dtype)


def cosine_transform(movie: Tensor) -> Tensor:
    """Return the coefficients `[...,T,H,W]` of a movie `[...,T,H,W]` in the orthonormal cosine basis."""
    t, y, x = (cosine_matrix(size, movie.dtype, str(movie.device)) for size in movie.shape[-3:])
    return _along_time(t, y @ movie @ x.T)


def inverse_cosine_transform(coefficients: Tensor) -> Tensor:
    """Return the movie `[...,T,H,W]` of coefficients; inverse and adjoint of `cosine_transform`."""
    t, y, x = (cosine_matrix(size, coefficients.dtype, str(coefficients.device)) for size in coefficients.shape[-3:])
    return y.T @ _along_time(t.T, coefficients) @ x


def _along_time(matrix: Tensor, movie: Tensor) -> Tensor:
    return (matrix @ movie.flatten(-2)).reshape(movie.shape)


@dataclass(frozen=True)
class Spectrum:
    """Power `[T,H,W]` of T-frame clips in the cosine basis, and the subtracted mean frame `[H,W]` or movie."""

    power: Tensor
    mean: Tensor

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Spectrum:
        """Return the spectrum on a device."""
        return Spectrum(self.power.to(device, dtype), self.mean.to(device, dtype))


def estimate_spectrum(clips: Iterable[Tensor], *, floor: float = 1e-4) -> Spectrum:
    """Estimate the spectrum from training clips `[T,H,W]` in [0,1] of equal length, in one pass.

    Power is floored at `floor` times its mean, so that every movie has nonzero probability. The mean frame is
    subtracted afterwards from the coefficients at zero temporal frequency.
    """
    count, mean, square = 0, torch.zeros(1), torch.zeros(1)
    total = torch.zeros(1)
    for clip in clips:
        coefficients = cosine_transform(clip)
        total, square, mean = total + coefficients[0], square + coefficients**2, mean + clip.mean(0)
        count += 1
    if count < 2:
        raise InputError(f"spectrum: expected at least 2 training clips, got {count}; record or simulate more")
    power = square / count
    power[0] = (power[0] - (total / count) ** 2).clamp_min(0) * count / (count - 1)
    return Spectrum(_floored(power, floor), mean / count)


def residual_spectrum(residuals: Iterable[Tensor], *, floor: float = 1e-4) -> Spectrum:
    """Estimate the spectrum of reconstruction residuals, truth − reconstruction `[T,H,W]`, around zero.

    The mean is not subtracted: bias of the reconstruction counts as error.
    """
    count, square, frame = 0, torch.zeros(1), torch.zeros(1)
    for residual in residuals:
        count, square, frame = count + 1, square + cosine_transform(residual) ** 2, torch.zeros_like(residual[0])
    if not count:
        raise InputError("residual spectrum: expected at least 1 validation clip of this length, got none; add one")
    return Spectrum(_floored(square / count, floor), frame)


def _floored(power: Tensor, floor: float) -> Tensor:
    smooth = smooth_power(power)
    return smooth.clamp_min(floor * float(smooth.mean()))


def smooth_power(power: Tensor) -> Tensor:
    """Average log power `[T,H,W]` over neighbouring frequencies; constant spectra are unchanged."""
    logarithm = power.clamp_min(1e-12).log()[None, None]
    padded = torch.nn.functional.pad(logarithm, (1, 1, 1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.avg_pool3d(padded, 3, stride=1)[0, 0].exp()


class GaussianDenoiser(Denoiser):
    """Exact denoiser of a Gaussian with the spectrum of training movies: D(x,σ) = m + P/(P+σ²)·(x−m).

    Wiener 1949; the reference prior for testing all users of denoisers.
    """

    def __init__(self, spectrum: Spectrum) -> None:
        super().__init__()
        self.register_buffer("power", spectrum.power)
        self.register_buffer("mean", spectrum.mean)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the posterior mean of the clean movie `[B,C,T,H,W]` at noise standard deviation `sigma` `[B]`."""
        power, mean = self.get_buffer("power"), self.get_buffer("mean")
        gain = power / (power + sigma.reshape(-1, 1, 1, 1, 1) ** 2)
        return mean + inverse_cosine_transform(gain * cosine_transform(x - mean))
