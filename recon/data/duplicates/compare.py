"""Two videos looked at closely at one shift: are the pictures the same, and does the same move in them?

The thresholds stand between planted copies and clips of one film at different times, as measured on eight open films
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
"""Frames (a third of a second) over which change is taken: long enough to see slow motion above the noise."""
OVERLAP = 30
"""Frames that two videos must share: 1 s at 30 Hz."""
LEVELS = 4.0
"""Root mean square, in grey levels, by which frames of copies differ: JPEG of quality 30 gives 2, other clips 10."""
PICTURE, CHANGE = 0.9, 0.9
"""Correlations of copies: of pictures (measured over 0.99), and of what changes (copies over 0.94, others to 0.85)."""
STILL = 1.0
"""Grey levels (root mean square over time) of motion, below which a shot counts as still and has no known shift."""
GAIN, BRIGHTNESS = 1.33, 32.0
"""Factor of contrast, and grey levels of brightness, by which a copy may differ."""


@dataclass(frozen=True)
class Sketch:
    """A video as it is correlated: small frames `(T,9,16)` in grey levels, and what follows from them."""

    frames: Array

    @cached_property
    def pictures(self) -> Array:
        """The 8×4 pictures less their means `(T,32)`."""
        small = resize_area(self.frames, SMALL).reshape(len(self.frames), -1)
        return np.asarray(small - small.mean(1, keepdims=True))

    @cached_property
    def changes(self) -> Array:
        """How the 8×4 pictures change over `LAG` frames `(T − LAG, 32)`."""
        return np.asarray(self.pictures[LAG:] - self.pictures[:-LAG])

    @cached_property
    def motion(self) -> float:
        """Root mean square deviation of the 8×4 pictures from their mean over time, in grey levels."""
        return _spread(self.pictures)

    @cached_property
    def mean(self) -> Array:
        """The mean frame `(144,)` less its mean."""
        flat = self.frames.reshape(len(self.frames), -1).mean(0, dtype=np.float32)
        return np.asarray(flat - flat.mean())


@dataclass(frozen=True)
class VideoComparison:
    """How two videos compare at a shift: shared frames, those alike, and correlations of pictures and of changes."""

    frames: int
    alike: float
    picture: float
    change: float
    motion: float

    @property
    def same(self) -> bool:
        """Whether the pictures are the same, whatever moves in them."""
        return self.alike > SHARE and self.picture > PICTURE

    @property
    def same_motion(self) -> bool:
        """Whether also what moves is the same, so that the shift is known."""
        return self.same and self.frames >= OVERLAP and self.motion >= STILL and self.change > CHANGE

    @property
    def same_still(self) -> bool:
        """Whether it is one picture in which next to nothing moves."""
        return self.same and self.motion < STILL


def compare(first: Sketch, second: Sketch, shift: int) -> VideoComparison:
    """Return how two videos compare where the second starts `shift` frames into the first.

    A frame is alike if, without its mean and after one gain for the whole video, it differs by less than `LEVELS`
    (root mean square of 9×16 means) and by less than `BRIGHTNESS` in its mean.
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
