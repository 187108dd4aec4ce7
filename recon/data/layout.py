"""The Sensorium 2023 folder layout: names, array files, valid frames, content hashes."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from recon.errors import InputError

Array = np.ndarray[Any, Any]

VARIABLES = ("videos", "responses", "behavior", "pupil_center")
"""Folders under `data/`; every array in them has time as its last axis."""
MASKED = ("behavior", "pupil_center")
"""Variables in which NaN marks what was not recorded."""
STATISTICS = ("mean", "std", "min", "max", "median")
LARGEST = 1e6
"""Largest plausible magnitude of any value of a trial.

Raw counts of a 16-bit camera end at 65,535; spikes per second, dF/F, cm/s and pixels stay far below. Sums of squares of
such values over a recording keep their precision; those of 1e30 are infinite in float32.
"""
MAX_FRAMES = 300
"""Maximum length of a trial; further frames in the files are ignored."""
TRAIN, VALIDATION, TEST, CALIBRATION, ABSENT = "train", "oracle", "live_test_main", "calibration", "none"
TIERS = (TRAIN, VALIDATION, TEST, "live_test_bonus", "final_test_main", "final_test_bonus", CALIBRATION, ABSENT)
"""The field's tiers, and ours for clips that calibrate intervals: no training, selection or stopping sees them."""
SHORT_TIERS = {"validation": VALIDATION, "test": TEST}
"""Tiers by plain words, where a person names them."""
DEGREES_PER_PIXEL = 1.45
"""Degrees per pixel of the Sensorium movies (36×64 pixels): assumed where a recording states none."""
SIGNALS = ("spikes", "deconvolved", "calcium")
"""What responses are: spike counts, activity inferred from calcium, or fluorescence (also ΔF/F)."""
TIERS_FILE = Path("meta/trials/tiers.npy")
GROUPS_FILE = Path("meta/trials/content_groups.json")
"""Content groups of the trials, written by `recon data duplicates --write`; derived from the videos."""


def load_array(path: Path, *, mapped: bool = False) -> Array:
    """Load one .npy file without unpickling; `mapped` memory-maps it.

    Raises InputError with the path for a missing, truncated or pickled file.
    """
    try:
        array: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an .npy file, got none; copy or unpack the recording again") from error
    except (ValueError, OSError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(
            f"{path}: expected a complete .npy file of plain numbers or strings, got a damaged one ({error}); "
            "copy or unpack the recording again"
        ) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: expected one .npy array, got an archive; save the array with numpy.save")
    return array


def save_array(path: Path, array: Array) -> None:
    """Save one .npy file and create its folder; a full disk raises OSError.

    numpy.save straight to a file loses the error if the last buffer of a small array cannot be flushed.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getbuffer())


def padded_from(array: Array) -> int:
    """Return the first frame of padding of an array `(..., T)`: the trailing run of frames that are NaN throughout.

    >>> padded_from(np.array([[1.0, 2.0, np.nan], [1.0, np.nan, np.nan]]))
    2
    """
    empty = np.isin(np.arange(array.shape[-1]), _only_nan(array))
    return int(np.flatnonzero(~empty)[-1]) + 1 if not empty.all() else 0


def not_finite(array: Array) -> Array:
    """Return the indices of the frames of an array `(..., T)` with NaN or infinity, by their non-finite sums."""
    if array.dtype.kind != "f":
        return np.empty(0, dtype=np.int64)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = array.reshape(-1, array.shape[-1]).sum(0, dtype=np.float64)
    return np.flatnonzero(~np.isfinite(sums))


def largest(array: Array) -> float:
    """Return the largest magnitude in an array of finite numbers; 0 for an empty one.

    >>> largest(np.array([1, -3]))
    3.0
    """
    if array.dtype == np.uint8 or not array.size:
        return float(array.max(initial=0))
    return max(float(array.max()), -float(array.min()))


def _only_nan(array: Array) -> Array:
    frames = not_finite(array)
    return frames[np.isnan(array[..., frames]).all(axis=tuple(range(array.ndim - 1)))]


def content_id(frames: Array) -> str:
    """Return the content hash of a video `(T,H,W)` 0–255: equal for equal grey levels.

    >>> content_id(np.zeros((2, 3, 4), np.uint8)) == content_id(np.zeros((2, 3, 4), np.float32))
    True
    """
    levels = np.ascontiguousarray(grey_levels(frames))
    return hashlib.sha256(repr(levels.shape).encode() + levels.tobytes()).hexdigest()[:16]


def grey_levels(frames: Array) -> Array:
    """Return frames rounded to whole grey levels, uint8; uint8 frames are returned unchanged."""
    if frames.dtype == np.uint8:
        return frames
    with np.errstate(invalid="ignore"):
        levels = frames.astype(np.uint8)
    if not np.array_equal(levels, frames):  # most videos hold whole grey levels and skip the rounding
        levels = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    return levels


def is_canonical(folder: Path) -> bool:
    """Return whether a folder has a tiers file and no still images, which mark Sensorium 2022."""
    return (folder / TIERS_FILE).exists() and not (folder / "data/images").is_dir()


def data_file(root: Path, variable: str, index: int) -> Path:
    """Return the path of a trial's array of a variable."""
    return root / "data" / variable / f"{index}.npy"
