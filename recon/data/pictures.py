"""Picture files (PNG, JPEG) as grey levels or red, green and blue, in the bits in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from recon.data.layout import Array
from recon.data.limits import check_unpacked
from recon.errors import InputError

BYTES_PER_PIXEL = 4
"""Bytes per pixel of an unpacked picture, RGBA."""
ORIENTATION = 0x0112
"""EXIF tag of the orientation; 1 is upright."""
DEEP = ("I", "F")
"""First letter of Pillow's modes of more than 8 bits."""
GREY = ("1", "L", "LA", "La")
"""Pillow's modes without colour."""


def is_deep(file: Path) -> bool:
    """Return whether a picture has more than 8 bits per value; reads its header only."""
    with _opened(file) as picture:
        return picture.mode.startswith(DEEP)


def is_coloured(file: Path) -> bool:
    """Return whether a picture is read as red, green and blue; reads its header only."""
    with _opened(file) as picture:
        return not picture.mode.startswith(DEEP) and picture.mode not in GREY


def read_picture(file: Path) -> Array:
    """Return a picture `(1,H,W)`, or `(1,H,W,3)` in colour, uint8, or uint16 where it has 16 bits.

    Raises InputError for transparent pixels and for an EXIF orientation other than upright: what was on the screen then
    depends on the program that showed it.
    """
    with _opened(file) as picture:
        turned = picture.getexif().get(ORIENTATION, 1)
        if turned != 1:
            raise InputError(f"{file}: expected an upright picture, got EXIF orientation {turned}; save it as shown")
        if picture.mode.startswith(DEEP):
            return _deep(file, np.asarray(picture))[None]
        alpha = picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
        if alpha and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
            raise InputError(f"{file}: expected an opaque picture, got transparent pixels; save it as shown")
        return np.asarray(picture.convert("L" if picture.mode in GREY else "RGB"))[None]


def _deep(file: Path, values: Array) -> Array:
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise InputError(f"{file}: expected at most 16 bits per value, got {values.dtype}; save it in 8 or 16 bits")
    return values.astype(np.uint16)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as opened:
            check_unpacked(str(file), BYTES_PER_PIXEL * opened.width * opened.height, file.stat().st_size)
            yield opened
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: expected a picture, got {error}; copy it again") from error
