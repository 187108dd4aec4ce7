"""Similarity of two movies `[B,C,T,H,W]` in [0,1]: correlations, SSIM and PSNR, one value per clip `[B]`.

`pixel_mask` `[H,W]` (bool) selects the scored pixels; None selects all. Undefined values are NaN.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from recon.correlation import back, doubled, mean_defined, pearson, varies
from recon.errors import InputError

SSIM_SIGMA, SSIM_RADIUS, SSIM_K = 1.5, 5, (0.01, 0.03)


def check_movies(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None) -> None:
    """Raise InputError if the movies or the mask do not match in shape."""
    if reconstruction.shape != truth.shape or truth.ndim != 5:
        raise InputError(
            f"movies: expected two of equal shape [B,C,T,H,W], got {tuple(reconstruction.shape)} and "
            f"{tuple(truth.shape)}; cut both to the scored frames and resize the reconstruction"
        )
    if pixel_mask is not None and (pixel_mask.shape != truth.shape[-2:] or pixel_mask.dtype != torch.bool):
        raise InputError(
            f"pixel_mask: expected a bool mask {tuple(truth.shape[-2:])}, got {pixel_mask.dtype} "
            f"{tuple(pixel_mask.shape)}; make the mask at the movie's resolution"
        )


def paired(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the scored pixels of both movies `[B,C,T,P]`; raise InputError if shapes differ."""
    check_movies(reconstruction, truth, pixel_mask)
    if pixel_mask is None:
        return reconstruction.flatten(3), truth.flatten(3)
    chosen = pixel_mask.to(reconstruction.device)
    return reconstruction[..., chosen], truth[..., chosen]


def video_correlation(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return Pearson's r `[B]` over all channels, frames and scored pixels of a clip (Bauer et al. 2026).

    >>> movie = torch.linspace(0, 1, 24).reshape(1, 1, 2, 3, 4)
    >>> video_correlation(1 - movie, movie).item()
    -1.0
    """
    first, second = paired(reconstruction, truth, pixel_mask)
    return pearson(first.flatten(1), second.flatten(1)).float()


def frame_correlation(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the mean over frames of the spatial Pearson r `[B]`; constant frames are excluded."""
    first, second = paired(reconstruction, truth, pixel_mask)
    return mean_defined(pearson(*(rearrange(part, "b c t ... -> b t (c ...)") for part in (first, second)))).float()


def pixel_correlation(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the mean over pixels of the temporal Pearson r `[B]`; constant pixels are excluded."""
    first, second = paired(reconstruction, truth, pixel_mask)
    return mean_defined(pearson(first.transpose(2, 3), second.transpose(2, 3)), (1, 2)).float()


def psnr(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the peak signal-to-noise ratio 10·log₁₀(1/MSE) `[B]` in dB over the clip; infinite for equal movies.

    >>> psnr(torch.full((1, 1, 1, 2, 2), 0.6), torch.full((1, 1, 1, 2, 2), 0.5)).round()
    tensor([20.])
    """
    first, second = paired(reconstruction, truth, pixel_mask)
    return -10.0 * torch.log10((doubled(first) - doubled(second)).square().mean((1, 2, 3))).float().to(truth.device)


def ssim(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the structural similarity `[B]`, mean over frames (Wang et al. 2004, eq. 13).

    Gaussian window of 11 × 11 pixels, σ 1.5, K 0.01 and 0.03, data range 1. Only windows entirely inside the frame
    count (as in scikit-image, this excludes centres in the outer five pixels). With `pixel_mask` only windows centred
    on a scored pixel count, although they include its neighbours. NaN if no window counts.
    """
    check_movies(reconstruction, truth, pixel_mask)
    if min(truth.shape[-2:]) <= 2 * SSIM_RADIUS:
        return truth.new_full((len(truth),), torch.nan)
    inside = slice(SSIM_RADIUS, -SSIM_RADIUS)
    maps = torch.stack([_ssim_map(x, y) for x, y in zip(reconstruction, truth, strict=True)])
    if pixel_mask is None:
        return maps.flatten(1).mean(1)
    return maps[..., pixel_mask.to(maps.device)[inside, inside]].flatten(1).mean(1)


def _ssim_map(x: Tensor, y: Tensor) -> Tensor:
    """Return the SSIM map `[C,T,H−10,W−10]` of one clip `[C,T,H,W]`, in double precision for small variances."""
    device, x, y = x.device, doubled(x), doubled(y)
    down, across = (_taps(side, x) for side in x.shape[-2:])

    def window(frames: Tensor) -> Tensor:  # matrix products are several times faster than torch's convolution
        return down @ frames @ across.T

    mean_x, mean_y = window(x), window(y)
    variance_x = window(x * x) - mean_x.square()
    variance_y = window(y * y) - mean_y.square()
    covariance = window(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K[0] ** 2, SSIM_K[1] ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return back((luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)).float(), device)


def _taps(side: int, like: Tensor) -> Tensor:
    """Return the Gaussian window's weights `[side−10,side]`, one row per window position along a side."""
    offsets = torch.arange(side, dtype=like.dtype, device=like.device)
    distance = offsets - (offsets[: side - 2 * SSIM_RADIUS, None] + SSIM_RADIUS)
    taps = torch.exp(-0.5 * (distance / SSIM_SIGMA).square()) * (distance.abs() <= SSIM_RADIUS)
    return taps / taps.sum(1, keepdim=True)


def matched(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the reconstruction with mean and standard deviation over the scored pixels matched to the truth.

    It uses two numbers of the truth per clip, so its scores are *oracle* scores. For a constant reconstruction only the
    mean is matched.
    """
    first, second = (part.flatten(1) for part in paired(reconstruction, truth, pixel_mask))
    shape = (-1, 1, 1, 1, 1)
    deviation = first.std(1, correction=0)
    changing = varies(deviation.square(), first.square().mean(1))
    scale = torch.where(changing, second.std(1, correction=0) / deviation, 1.0)
    centred = reconstruction - first.mean(1).reshape(shape)
    return centred * scale.reshape(shape) + second.mean(1).reshape(shape)
