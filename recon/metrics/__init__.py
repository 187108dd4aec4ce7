"""Metrics of movies `[B,C,T,H,W]` in [0,1] → `[B]`, frequency-resolved curves, and metrics of activity `[B,N,T]`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from recon.metrics.frequency import (
    motion_energy_correlation,
    spatial_frequency_correlation,
    temporal_frequency_correlation,
)
from recon.metrics.movie import frame_correlation, pixel_correlation, psnr, ssim, video_correlation
from recon.metrics.perceptual import lpips

METRICS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "video_correlation": video_correlation,
    "frame_correlation": frame_correlation,
    "pixel_correlation": pixel_correlation,
    "ssim": ssim,
    "psnr": psnr,
    "motion_energy_correlation": motion_energy_correlation,
    "lpips": lpips,
}

CURVES: dict[str, Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]] = {
    "spatial_frequency": spatial_frequency_correlation,
    "temporal_frequency": temporal_frequency_correlation,
}
"""Frequency-resolved curves: band centres `[F]` (cycles/degree or Hz) and correlations `[B,F]`."""
