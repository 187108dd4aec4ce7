"""Area resizing: every new pixel is the mean of the area that it covers."""

from __future__ import annotations

import numpy as np

from recon.data.layout import Array


def area_matrix(size: int, new: int) -> Array:
    """Return the averaging matrix `[new, size]`; each row holds the overlaps of a new pixel with the old ones, sum 1.

    >>> (5 * area_matrix(5, 2)).round().astype(int).tolist()
    [[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]]
    """
    edges, old = np.linspace(0, size, new + 1), np.arange(size)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    weights: Array = np.clip(overlap, 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float32)


def resize_area(frames: Array, size: tuple[int, int]) -> Array:
    """Return frames `(T,H,W)` area-resized to `(T, *size)`, float32."""
    if frames.shape[1:] == size:
        return frames.astype(np.float32)
    rows, columns = area_matrix(frames.shape[1], size[0]), area_matrix(frames.shape[2], size[1])
    resized: Array = rows @ frames.astype(np.float32) @ columns.T
    return resized
