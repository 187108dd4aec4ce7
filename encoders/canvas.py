"""Where a frame stands on a larger canvas: in its middle."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def centred(frames: Tensor, size: Sequence[int], *, fill: float = 0.0) -> Tensor:
    """Return frames `[…,H,W]` cut or widened with `fill` to `size` about their middle: rows 14–49 of 64 for 36.

    >>> import torch
    >>> centred(torch.ones(1, 2), (2, 3)).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    rows, columns = (new - old for new, old in zip(size, frames.shape[-2:], strict=True))
    # Half of the border before, rounded to zero, the rest behind: what is widened and cut again is the same.
    left, top = int(columns / 2), int(rows / 2)
    return functional.pad(frames, (left, columns - left, top, rows - top), value=fill)
