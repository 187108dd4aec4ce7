"""Centring of frames on a canvas of another size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def centred(frames: Tensor, size: Sequence[int], *, fill: float = 0.0) -> Tensor:
    """Return frames `[…,H,W]` centred on a canvas of `size`, padded with `fill` or cropped (36 of 64 rows: 14–49).

    >>> import torch
    >>> centred(torch.ones(1, 2), (2, 3)).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    rows, columns = (new - old for new, old in zip(size, frames.shape[-2:], strict=True))
    # int() truncates toward zero, so that cropping undoes padding exactly.
    left, top = int(columns / 2), int(rows / 2)
    return functional.pad(frames, (left, columns - left, top, rows - top), value=fill)
