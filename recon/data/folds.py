"""Cross-validation folds of DwiseNeuro: trials by perceptual hash of the video (Romul, lRomul/sensorium)."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

from recon.data.layout import ABSENT, TRAIN, VALIDATION, Array
from recon.data.sensorium import SensoriumRecording
from recon.encoders.dwiseneuro.network import NEURONS
from recon.errors import InputError

FOLDS = 7
HASHED_FRAMES, SIDE, LOWEST = 5, 32, 8
OLD_MICE = tuple(name.partition("-Video")[0] for name in tuple(NEURONS)[5:])
"""Mice whose responses are all public; their folds contain trials of every tier."""


def fold_trials(recording: SensoriumRecording, fold: int) -> tuple[int, ...]:
    """Return the trials of one of the seven folds, in order; Bauer et al. (2026) use the first ten of fold 0.

    The published weights were trained on these folds, so content groups found later do not change them.
    """
    if not 0 <= fold < FOLDS:
        raise InputError(f"fold: expected 0–{FOLDS - 1}, got {fold}; correct this value")
    old = recording.name.partition("-Video")[0] in OLD_MICE
    tiers = {tier for tier in recording.tiers if tier != ABSENT} if old else {TRAIN, VALIDATION}
    shown = (index for index, tier in enumerate(recording.tiers) if tier in tiers)
    return tuple(index for index in shown if video_hash(recording.frames(index)) % FOLDS == fold)


def video_hash(frames: Array) -> int:
    """Return the XOR of the hashes of five frames of a video `(T,H,W)` 0–255: the middle frame of each fifth."""
    step = len(frames) // HASHED_FRAMES
    if step == 0:
        raise InputError(f"video: expected {HASHED_FRAMES} frames or more, got {len(frames)}; leave the trial out")
    places = range(step // 2, len(frames), step)[:HASHED_FRAMES]
    return int(np.bitwise_xor.reduce([frame_hash(frames[place]) for place in places]))


def frame_hash(frame: Array) -> np.uint64:
    """Return the perceptual hash of a frame `(H,W)`: its 8×8 lowest DCT coefficients, thresholded at their median."""
    small = Image.fromarray(frame.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(small, dtype=np.float64), type=2)[:LOWEST, :LOWEST]
    code: np.uint64 = np.packbits(lowest > np.median(lowest)).view(">u8")[0].astype(np.uint64)
    return code
