"""Reading of transparency masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.data.layout import load_array
from recon.errors import InputError

CANVAS, SCREEN, ROWS_OF_SCREEN = (64, 64), (36, 64), slice(14, 50)
"""Published masks cover a padded 64×64 canvas; the screen is its rows 14–49."""


def read_mask(path: Path, frame_size: tuple[int, int], *, border: bool = False) -> Tensor:
    """Return the mask `[H,W]` in a .npy file: of the frame size, or a published 64×64 canvas around a 36×64 screen.

    A canvas is cropped to the screen unless `border` is true. Raises InputError for other sizes and non-finite values.
    """
    if not path.is_file():
        raise InputError(f"mask: expected a .npy file, got nothing at {path}; make one with `recon train mask`")
    values = load_array(path)
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path}: expected a .npy file of plain numbers, got {values.dtype}; learn the mask again")
    mask = torch.from_numpy(values.astype(np.float32))
    if not bool(torch.isfinite(mask).all()):
        raise InputError(f"{path}: expected finite values, got NaN or infinity; learn the mask again")
    if tuple(mask.shape) == CANVAS and frame_size == SCREEN:
        return mask if border else mask[ROWS_OF_SCREEN]
    if tuple(mask.shape) != frame_size:
        raise InputError(f"{path}: expected a mask of {frame_size} pixels, got {tuple(mask.shape)}; learn it again")
    return mask
