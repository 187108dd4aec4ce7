"""Sensorium 2023 mice at full scale: real counts, coordinates, statistics and repeats; random activity."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MICE = "ABCDEFGHIJ"
PADDED = 324
"""Frames per published file, padded with NaN after the movie's end."""
REPEATED = ("oracle", "live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus")


def tiers_of(video_ids: Array) -> list[str]:
    """Return a tier for each trial: "train" for videos shown once; repeated videos are spread over the other tiers."""
    counts = Counter(video_ids.tolist())
    repeated = sorted(video for video, count in counts.items() if count > 1 and video >= 0)
    tier = {video: REPEATED[min(number // 6, 4)] for number, video in enumerate(repeated)}
    return ["none" if video < 0 else tier.get(video, "train") for video in video_ids.tolist()]


def write_meta(metadata: Path, mouse: str, folder: Path) -> Path:
    """Write all files of a mouse except its trials, in the publisher's layout; return its folder."""
    video_ids = np.load(metadata / f"video_ids/mouse{mouse}.npy")
    coordinates = np.load(metadata / f"neuron_coordinates/mouse{mouse}.npy")
    save(folder / "meta/neurons/cell_motor_coordinates.npy", coordinates)
    save(folder / "meta/neurons/unit_ids.npy", 1 + np.arange(len(coordinates)))
    save(folder / "meta/trials/tiers.npy", np.array(tiers_of(video_ids)))
    for variable, published in (("videos", "video"), ("responses", "response"), ("behavior", "behavior")):
        for name in ("mean", "std", "min", "max", "median"):
            file = metadata / f"statistics/mouse{mouse}/{published}/{name}.npy"
            value = np.load(file) if file.exists() else np.zeros(())
            save(folder / f"meta/statistics/{variable}/all/{name}.npy", np.repeat(value[..., None], 300, -1))
    return folder


def write_trials(
    metadata: Path, mouse: str, folder: Path, *, count: int | None = None, progress: Callable[[Any], Any] = iter
) -> int:
    """Write the first `count` trials of a mouse, 60 to 300 valid frames of 324 each; return the bytes on disk."""
    video_ids = np.load(metadata / f"video_ids/mouse{mouse}.npy")[:count]
    mean = np.load(metadata / f"statistics/mouse{mouse}/response/mean.npy").astype(np.float32)
    grey, contrast = (
        float(np.load(metadata / f"statistics/mouse{mouse}/video/{name}.npy")) for name in ("mean", "std")
    )
    written = 0
    for trial in progress(range(len(video_ids))):
        if video_ids[trial] < 0:
            continue
        same = np.random.default_rng([1, int(video_ids[trial])])
        frames = int(same.integers(60, 301)) if same.random() < 0.3 else 300
        coarse = same.normal(grey, contrast, (9, 16, -(-frames // 6))).clip(0, 255).round().astype(np.float32)
        video = coarse.repeat(4, 0).repeat(4, 1).repeat(6, 2)[..., :frames]
        own = np.random.default_rng([2, trial])
        responses = own.standard_exponential((len(mean), frames), dtype=np.float32) * mean[:, None]
        behavior = own.normal([[50.0], [0.5]], 1.0, (2, frames)).astype(np.float32)
        pupil = own.normal(0, 10, (2, frames)).astype(np.float32)
        for variable, values in (
            ("videos", video), ("responses", responses), ("behavior", behavior), ("pupil_center", pupil),
        ):  # fmt: skip
            padded = np.full((*values.shape[:-1], PADDED), np.nan, np.float32)
            padded[..., :frames] = values
            written += save(folder / f"data/{variable}/{trial}.npy", padded)
    return written


def save(file: Path, array: Array) -> int:
    """Write an array and return its bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, array)
    return array.nbytes


def forget(folder: Path) -> None:
    """Ask the system to evict a folder's files from the page cache."""
    for file in folder.rglob("*.npy"):
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
