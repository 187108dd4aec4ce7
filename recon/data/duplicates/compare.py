"""Detailed comparison of the pictures and the motion of two videos at one shift.

The thresholds separate planted copies from clips of one film at different times, measured on eight open films
(`tests/data/test_shifted_duplicates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recon.data.duplicates.find import SHARE
from recon.data.layout import Array
from recon.data.resize import resize_area

SMALL = (4, 8)
LAG = 10
"""Lag of the temporal difference in frames (1/3 s): long enough to see slow motion above the noise."""
OVERLAP = 30
"""Minimum overlap of two videos in frames: 1 s at 30 Hz."""
LEVELS = 4.0
"""Maximum RMS difference between frames of copies, in grey levels: JPEG of quality 30 gives 2, other clips 10."""
PICTURE, CHANGE = 0.9, 0.9
"""Minimum correlations of copies: pictures (measured > 0.99) and changes (copies > 0.94, other clips up to 0.85)."""
STILL = 1.0
"""Motion (RMS over time, grey levels) below which a shot is still and its shift unknown."""
GAIN, BRIGHTNESS = 1.33, 32.0
"""Maximum contrast factor and brightness offset (grey levels) of a copy."""


@dataclass(frozen=True)
class Sketch:
    """A reduced video for correlation: frames `(T,9,16)` in grey levels, and quantities derived from them."""

    frames: Array

    @cached_property
    def pictures(self) -> Array:
        """The 8×4 pictures minus their means `(T,32)`."""
        small = resize_area(self.frames, SMALL).reshape(len(self.frames), -1)
        return np.asarray(small - small.mean(1, keepdims=True))

    @cached_property
    def changes(self) -> Array:
        """Difference of the 8×4 pictures over `LAG` frames `(T − LAG, 32)`."""
        return np.asarray(self.pictures[LAG:] - self.pictures[:-LAG])

    @cached_property
    def motion(self) -> float:
        """RMS deviation of the 8×4 pictures from their temporal mean, in grey levels."""
        return _spread(self.pictures)

    @cached_property
    def mean(self) -> Array:
        """The mean frame `(144,)` minus its mean."""
        flat = self.frames.reshape(len(self.frames), -1).mean(0, dtype=np.float32)
        return np.asarray(flat - flat.mean())


@dataclass(frozen=True)
class VideoComparison:
    """Two videos at one shift: shared frames, fraction alike, correlations of pictures and of changes, motion."""

    frames: int
    alike: float
    picture: float
    change: float
    motion: float

    @property
    def same(self) -> bool:
        """True if the pictures are the same, regardless of motion."""
        return self.alike > SHARE and self.picture > PICTURE

    @property
    def same_motion(self) -> bool:
        """True if both pictures and motion are the same, which determines the shift."""
        return self.same and self.frames >= OVERLAP and self.motion >= STILL and self.change > CHANGE

    @property
    def same_still(self) -> bool:
        """True if the pictures are the same and at least one video is still."""
        return self.same and self.motion < STILL


def compare(first: Sketch, second: Sketch, shift: int) -> VideoComparison:
    """Compare two videos, where the second starts `shift` frames into the first.

    Frames are alike if they differ by less than `LEVELS` (RMS over 9×16 pixels, means subtracted, one gain per video)
    and their means by less than `BRIGHTNESS`; no frame is alike if the gain is outside 1/`GAIN` to `GAIN`.
    """
    ours, theirs = max(shift, 0), max(-shift, 0)
    length = min(len(first.frames) - ours, len(second.frames) - theirs)
    if length < 1:
        return VideoComparison(0, 0.0, 0.0, 0.0, 0.0)
    spans = slice(ours, ours + length), slice(theirs, theirs + length)
    one, other = (
        s.frames[span].reshape(length, -1).astype(np.float32) for s, span in zip((first, second), spans, strict=True)
    )
    means = np.abs(one.mean(1) - other.mean(1))
    one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
    gain = float((one * other).sum() / max(float(np.square(other).sum()), 1e-9))
    gap = np.sqrt(np.square(one - gain * other).mean(1))
    alike = (gap < LEVELS) & (means < BRIGHTNESS) & (1 / GAIN < gain < GAIN)
    small = [s.pictures[span] for s, span in zip((first, second), spans, strict=True)]
    moving = [pictures - pictures.mean(0) for pictures in small]
    motion = min(_spread(pictures) for pictures in small)
    return VideoComparison(length, float(alike.mean()), _correlation(one, other), _correlation(*moving), motion)


def _spread(pictures: Array) -> float:
    return float(np.sqrt(np.square(pictures - pictures.mean(0)).mean()))


def _correlation(first: Array, second: Array) -> float:
    scale = float(np.square(first).sum()) * float(np.square(second).sum())
    return float((first * second).sum()) / float(np.sqrt(max(scale, 1e-12)))
