"""Training statistics of a recording in the published layout: `meta/statistics/<variable>/all/<name>.npy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.data.layout import STATISTICS, Array, data_file, grey_levels, load_array, save_array

CHUNK = 256
"""Channels held in memory at once, over all training trials."""


def write_statistics(root: Path, *, trials: Sequence[int], frames: int) -> None:
    """Write mean, std, min, max and median of every variable over `trials`, repeated along a time axis of `frames`."""
    for variable in ("responses", "behavior", "pupil_center"):
        present = [i for i in trials if data_file(root, variable, i).exists()]
        if present:
            _write(root, variable, channel_statistics(root, variable, present), frames)
    if trials:
        _write(root, "videos", video_statistics(root, trials), frames)


def channel_statistics(root: Path, variable: str, trials: Sequence[int]) -> dict[str, Array]:
    """Return the five statistics of every channel `(channels,)` over all frames of the trials that are not NaN."""
    arrays = [load_array(data_file(root, variable, i), mapped=True) for i in trials]
    channels = arrays[0].shape[0]
    parts = []
    for first in range(0, channels, CHUNK):
        values = np.concatenate([array[first : first + CHUNK] for array in arrays], -1).astype(np.float32)
        parts.append(_of_rows(values))
    return {name: np.concatenate([part[row] for part in parts]) for row, name in enumerate(STATISTICS)}


def _of_rows(values: Array) -> list[Array]:
    """Return mean, std, min, max and median of the rows over what is not NaN; NaN for rows without a value."""
    with np.errstate(invalid="ignore"):
        found = np.stack(_five(values))
    for row in np.flatnonzero(np.isnan(found[0])):
        own = values[row][~np.isnan(values[row])]
        found[:, row] = np.stack(_five(own[None]))[:, 0] if len(own) else np.nan
    return list(found)


def _five(values: Array) -> list[Array]:
    return [
        values.mean(-1, dtype=np.float64),
        values.std(-1, dtype=np.float64),
        values.min(-1),
        values.max(-1),
        np.median(values, -1),
    ]


def video_statistics(root: Path, trials: Sequence[int]) -> dict[str, Array]:
    """Return the five statistics (scalars) over all pixels; the median is that of the grey-level histogram."""
    counts, total, square, low, high = np.zeros(256), 0.0, 0.0, np.inf, -np.inf
    for index in trials:
        video = load_array(data_file(root, "videos", index))
        histogram = np.bincount(grey_levels(video).ravel(), minlength=256)
        exact = _moments(video) if video.dtype.kind == "f" else _histogram_moments(histogram)
        counts, total, square = counts + histogram, total + exact[0], square + exact[1]
        low, high = min(low, float(video.min())), max(high, float(video.max()))
    mean = total / counts.sum()
    median = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
    figures = (mean, np.sqrt(max(square / counts.sum() - mean**2, 0.0)), low, high, median)
    return {name: np.asarray(value) for name, value in zip(STATISTICS, figures, strict=True)}


def _moments(video: Array) -> tuple[float, float]:
    return float(video.sum(dtype=np.float64)), float(np.square(video, dtype=np.float64).sum())


def _histogram_moments(histogram: Array) -> tuple[float, float]:
    levels = np.arange(256.0)
    return float(histogram @ levels), float(histogram @ levels**2)


def _write(root: Path, variable: str, statistics: dict[str, Array], frames: int) -> None:
    folder = root / "meta/statistics" / variable / "all"
    for name, value in statistics.items():
        repeated = np.broadcast_to(value[..., None], (*value.shape, frames))
        save_array(folder / f"{name}.npy", repeated.astype(np.float32))
