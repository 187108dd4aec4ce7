"""Placement of frames on a common screen in visual degrees, so that stimuli of several scales share a recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recon.data.layout import Array
from recon.data.resize import Size, resizing

GREY = 127.0
"""Grey level of the screen around a stimulus."""
Degrees = tuple[float, float]
"""Height and width in degrees."""
STEPS = 1000
"""Pixels of the longer side of a screen for the comparison of aspect ratios."""


@lru_cache(maxsize=32)
def overlap_matrix(count: int, pixel: float, *, size: int, window: float) -> Array:
    """Return `[size, count]`: the share of each of `size` pixels of a window that each of `count` pixels covers.

    Both are centred; rows sum to 1 inside the source and to less at its border.

    >>> overlap_matrix(2, 1.0, size=2, window=4.0).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    edges = np.linspace(-window / 2, window / 2, size + 1)
    old = (np.arange(count + 1) - count / 2) * pixel
    overlap = np.minimum(edges[1:, None], old[1:]) - np.maximum(edges[:-1, None], old[:-1])
    shares: Array = np.clip(overlap, 0, None) * (size / window)
    return shares.astype(np.float32)


@dataclass(frozen=True)
class Placement:
    """Frames of size `source` with pixels of `pixel` degrees, centred on a grey window of `window` degrees.

    The window has `size` pixels; what lies outside it is cut off.
    """

    source: Size
    pixel: Degrees
    window: Degrees
    size: Size

    def apply(self, frames: Array) -> Array:
        """Return frames `(T, *source)` averaged over the pixels of the window, `(T, *size)`, float32."""
        rows, columns = (
            overlap_matrix(self.source[axis], self.pixel[axis], size=self.size[axis], window=self.window[axis])
            for axis in (0, 1)
        )
        covered = rows.sum(1)[:, None] * columns.sum(1)[None]
        placed: Array = rows @ frames.astype(np.float32) @ columns.T + GREY * (1 - covered)
        return placed.astype(np.float32)

    def degrees(self) -> float:
        """Return the degrees of one pixel of the window."""
        return math.sqrt(self.window[0] * self.window[1] / (self.size[0] * self.size[1]))

    def notes(self) -> list[str]:
        """Return a sentence for the placement."""
        height, width = (count * pixel for count, pixel in zip(self.source, self.pixel, strict=True))
        return [
            f"frames of {self.source[0]}×{self.source[1]} pixels ({height:.1f}×{width:.1f}°) are centred on a "
            f"screen of {self.window[0]:.1f}×{self.window[1]:.1f}° and averaged over {self.size[0]}×{self.size[1]} px"
        ]


def placement(source: Size, pixel: Degrees, *, screen: Degrees, size: Size, crop: bool) -> Placement:
    """Return the placement on a screen; raises InputError for another aspect ratio, unless `crop` cuts the screen."""
    pixels = screen_pixels(screen)
    kept = resizing(pixels, size, crop=crop).kept
    window = screen[0] * kept[0] / pixels[0], screen[1] * kept[1] / pixels[1]
    return Placement(source, pixel, window, size)


def screen_pixels(screen: Sequence[float]) -> Size:
    """Return a size in pixels with the aspect ratio of a screen in degrees.

    >>> screen_pixels((50.0, 100.0))
    (500, 1000)
    """
    return max(round(STEPS * screen[0] / max(screen)), 1), max(round(STEPS * screen[1] / max(screen)), 1)
