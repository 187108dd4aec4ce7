"""Colour to grey: weighted sums of red, green and blue, as stored (gamma-encoded)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from recon.data.layout import Array
from recon.errors import InputError

Luma = Literal["rec601", "rec709"]
"""Names of luma weights: ITU-R BT.601 (also of Pillow, OpenCV and kornia) or ITU-R BT.709 (HD video)."""
WEIGHTS: dict[Luma, tuple[float, float, float]] = {
    "rec601": (0.299, 0.587, 0.114),
    "rec709": (0.2126, 0.7152, 0.0722),
}
"""Luma weights of red, green and blue by name."""


def grey(frames: Array, luma: Luma = "rec601") -> Array:
    """Return frames `(k,H,W)` or RGB `(k,H,W,3)` as grey levels `(k,H,W)`; RGB in float64.

    >>> grey(np.full((1, 1, 1, 3), 10.0)).round(6).tolist()
    [[[10.0]]]
    """
    if frames.ndim < 4:
        return frames
    import torch
    from kornia.color import rgb_to_grayscale

    # float64, because kornia rounds 8-bit pictures to 8 bits before they are averaged over pixels.
    planes = torch.tensor(np.moveaxis(frames, -1, 1), dtype=torch.float64)
    levels: Array = rgb_to_grayscale(planes, torch.tensor(WEIGHTS[luma], dtype=torch.float64))[:, 0].numpy()
    return levels


def known_luma(name: str) -> Luma:
    """Return the name of luma weights; raises InputError for an unknown one."""
    found = next((known for known in WEIGHTS if known == name), None)
    if found is None:
        raise InputError(f"luma: expected one of {', '.join(WEIGHTS)}, got {name!r}; correct it")
    return found


def in_words(luma: Luma) -> str:
    """Return the weights as a sum.

    >>> in_words("rec709")
    '0.2126 R + 0.7152 G + 0.0722 B (Rec. 709)'
    """
    red, green, blue = WEIGHTS[luma]
    return f"{red:g} R + {green:g} G + {blue:g} B (Rec. {luma.removeprefix('rec')})"
