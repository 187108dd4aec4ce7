"""Area resizing: every new pixel is the mean of the area that it covers; the aspect ratio is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recon.data.layout import Array
from recon.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""


@lru_cache(maxsize=32)
def area_matrix(size: int, new: int) -> Array:
    """Return the averaging matrix `[new, size]`; each row holds the overlaps of a new pixel with the old ones, sum 1.

    >>> (5 * area_matrix(5, 2)).round().astype(int).tolist()
    [[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]]
    """
    edges, old = np.linspace(0, size, new + 1), np.arange(size)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    weights: Array = np.clip(overlap, 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)


def resize_area(frames: Array, size: Size) -> Array:
    """Return frames `(T,H,W)` area-resized to `(T, *size)`, float32."""
    if frames.shape[1:] == size:
        return frames.astype(np.float32)
    rows, columns = area_matrix(frames.shape[1], size[0]), area_matrix(frames.shape[2], size[1])
    resized: Array = rows @ frames.astype(np.float32) @ columns.T
    return resized


@dataclass(frozen=True)
class Resizing:
    """Central crop of frames of size `source` to `kept`, then area resizing to `size`; both sides scaled alike."""

    source: Size
    kept: Size
    size: Size

    def apply(self, frames: Array) -> Array:
        """Return frames `(T, *source)` cropped and resized to `(T, *size)`, float32."""
        top, left = ((whole - part) // 2 for whole, part in zip(self.source, self.kept, strict=True))
        return resize_area(frames[:, top : top + self.kept[0], left : left + self.kept[1]], self.size)

    def degrees(self, per_source_pixel: float) -> float:
        """Return the degrees of one new pixel.

        >>> resizing((72, 128), (36, 64)).degrees(0.95)
        1.9
        """
        return per_source_pixel * math.sqrt(self.kept[0] * self.kept[1] / (self.size[0] * self.size[1]))

    def notes(self) -> list[str]:
        """Return a sentence for the crop and one for the resizing; none for frames that stay as they are."""
        cropped = f"movie: cropped to the central {_text(self.kept)} of {_text(self.source)} pixels"
        resized = f"movie: resized from {_text(self.kept)} to {_text(self.size)} pixels by area averaging"
        return [cropped] * (self.kept != self.source) + [resized] * (self.size != self.kept)


def resizing(source: Size, size: Size | None, *, crop: bool = False, pixel: float = 1.0) -> Resizing:
    """Return the resizing to `size` (default: no change); raises InputError where both sides are not scaled alike.

    `crop` keeps the central part of the new aspect ratio instead. `pixel`: width of a source pixel over its height.

    >>> resizing((768, 1024), (36, 64), crop=True).kept, resizing((576, 720), (36, 64), crop=True, pixel=64 / 45).kept
    ((576, 1024), (576, 720))
    """
    if size is None:
        return Resizing(source, source, source)
    if min(size) < 1:
        raise InputError(f"frame_size: expected a height and a width of at least 1 pixel, got {size}; correct it")
    height, width = source
    wide = size[1] / size[0] / pixel
    kept = min(height, round(width / wide)), min(width, round(height * wide))
    kept = max(kept[0], 1), max(kept[1], 1)
    if crop:
        return Resizing(source, kept, size)
    if not alike((height, round(width * pixel)), size):
        raise InputError(
            f"frame_size: expected the aspect ratio of the movie ({_text(source)} pixels), got {_text(size)}, which "
            f"squashes it; take {_text(largest_within(source, size))}, or crop to the central {_text(kept)} pixels "
            "(crop)"
        )
    return Resizing(source, source, size)


def alike(source: Size, size: Size) -> bool:
    """Return whether resizing scales both sides alike, to the nearest pixel.

    >>> alike((144, 256), (36, 64)), alike((100, 150), (36, 64)), alike((101, 150), (36, 53))
    (True, False, True)
    """
    width, height = source[1] * size[0] / source[0], source[0] * size[1] / source[1]
    return abs(size[1] - width) <= 0.5 or abs(size[0] - height) <= 0.5


def largest_within(source: Size, bound: Size) -> Size:
    """Return the largest size within `bound` of the aspect ratio of `source`.

    >>> largest_within((304, 608), (36, 64))
    (32, 64)
    """
    scale = min(bound[0] / source[0], bound[1] / source[1])
    return max(round(source[0] * scale), 1), max(round(source[1] * scale), 1)


def _text(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
