"""Low-level features of a stimulus: motion energy and luminance, averaged over a coarse grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.metrics.motion import bank, energy, transfer
from recon.types import Recording

LOW_LEVEL = "low-level"
BANDS = ((0.03, 0.0), (0.03, 2.0), (0.06, 0.0), (0.06, 2.0), (0.12, 0.0), (0.12, 2.0))
"""Spatial frequencies (cycles/degree) and drifts (Hz) around the preferences of neurons in mouse V1."""
CHANNELS = tuple(channel for band in BANDS for channel in bank(*band, directions=8))
GRID = (6, 10)
"""Rows and columns of the grid for motion energy: cells of about 9° in mouse recordings."""
LUMINANCE = (9, 16)
"""Rows and columns of the grid for luminance."""


def low_level_series(
    recording: Recording, trials: Sequence[int], size: int, folder: Path, *, progress: bool = False
) -> dict[int, Tensor]:
    """Return the low-level features `[B,F]` of trials in bins of `size` frames, cached in `folder` by content."""
    about = [recording.fingerprint(), sorted(set(trials)), size, CHANNELS, GRID, LUMINANCE]
    path = artefact_path(folder, "low-level", about, code=[__name__])
    if not whole(path):
        scale = {"degrees_per_pixel": recording.degrees_per_pixel, "frame_rate": recording.frame_rate}
        watched = tqdm(
            sorted(set(trials)), desc="motion energy", unit="trial", leave=False, disable=None if progress else True
        )
        found = {str(trial): low_level(recording.trial(trial).movie, size, **scale) for trial in watched}
        save_artefact(found, path)
    kept = load_artefact(path, method=LOW_LEVEL)
    return {trial: kept[str(trial)] for trial in trials}


def low_level(movie: Tensor, size: int, *, degrees_per_pixel: float, frame_rate: float) -> Tensor:
    """Return motion-energy amplitudes and luminance `[B,F]` of a movie `[1,T,H,W]` in bins of `size` frames.

    As Nishimoto et al. 2011, with channels for mice and grid cells of equal size. The square root of a channel's energy
    compresses it, where they take the logarithm. Movie borders wrap around.
    """
    bins = movie.shape[1] // size
    seen = movie[:, : bins * size].float()
    spectrum = torch.fft.fftn(seen - seen.mean(), dim=(1, 2, 3))
    scale = {"degrees_per_pixel": degrees_per_pixel, "frame_rate": frame_rate}
    amplitudes = [
        functional.adaptive_avg_pool3d(
            energy(spectrum * transfer(seen, channel, **scale)).sqrt(), (bins, *_within(GRID, seen))
        )
        for channel in CHANNELS
    ]
    luminance = functional.adaptive_avg_pool3d(seen[None], (bins, *_within(LUMINANCE, seen)))
    return torch.cat([part[0, 0].flatten(1) for part in (*amplitudes, luminance)], 1)


def _within(places: tuple[int, int], movie: Tensor) -> tuple[int, int]:
    return min(places[0], movie.shape[2]), min(places[1], movie.shape[3])
