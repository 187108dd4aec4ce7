"""Pictures of a running reconstruction for TensorBoard: film strips and movies with their labels in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.media import (
    SPACER,
    Pixels,
    encode_gif,
    encode_png,
    film_strip,
    labelled,
    side_by_side,
    spread_frames,
    upscale,
)

FRAMES, SCALE, GAP = 4, 3, 4
"""Frames of a film strip, side of a frame pixel, and gap between frames: readable in a card of TensorBoard."""
TITLE, TIMES = 18, 14
"""Sizes of the fonts, in pixels of the picture."""
GREYS = 32
"""Grey levels of a movie: noise in the last bits would make it three times as large."""
RATE = 15.0
"""Highest frame rate of a movie, in Hz."""


@dataclass(frozen=True)
class Shown:
    """The frames [first, end) of a clip that are shown, and their rate in Hz."""

    first: int
    end: int
    rate: float


def strip_png(movies: Sequence[Pixels], names: Sequence[str], shown: Shown, *, title: str) -> bytes:
    """Return a film strip as PNG: one row per movie `[T,H,W]` with its name, the time above each column."""
    frames = spread_frames(len(movies[0]), count=FRAMES, first=shown.first, end=shown.end)
    strip = film_strip(movies, frames=frames, scale=SCALE, gap=GAP)
    named = labelled(strip, names, gap=GAP)
    left, width = named.shape[1] - strip.shape[1], movies[0].shape[2] * SCALE
    times = _band(named.shape[1], TIMES)
    for column, frame in enumerate(frames):
        _write(times, left + column * (width + GAP), f"{frame / shown.rate:.2f} s", TIMES)
    return encode_png(_under_title([np.asarray(times, dtype=np.uint8), named], title))


def movie_gif(movies: Sequence[Pixels], names: Sequence[str], shown: Shown, *, title: str) -> bytes:
    """Return movies `[T,H,W]` side by side as a looping GIF, each below its name."""
    stride = max(1, round(shown.rate / RATE))
    cut = [_coarse(movie[shown.first : shown.end : stride]) for movie in movies]
    moving = upscale(side_by_side(cut, gap=GAP // 2), 2)
    band = _band(moving.shape[2], TIMES)
    for column, name in enumerate(names):
        _write(band, column * (2 * movies[0].shape[2] + GAP), name, TIMES)
    head = _under_title([np.asarray(band, dtype=np.uint8)], title)
    whole = np.concatenate([np.broadcast_to(head, (len(moving), *head.shape)), moving], axis=1)
    return encode_gif(whole, frame_rate=shown.rate / stride)


def _coarse(movie: Pixels) -> Pixels:
    step = 256 // GREYS
    coarse: Pixels = (movie // step * step + step // 2).astype(np.uint8)
    return coarse


def _under_title(parts: Sequence[Pixels], title: str) -> Pixels:
    """Return pictures of one width below each other, under a title that is shrunk to their width."""
    width = parts[0].shape[1]
    size = next((size for size in range(TITLE, 8, -1) if _length(title, size) <= width), 8)
    band = _band(width, size)
    _write(band, 0, title, size)
    return np.concatenate([np.asarray(band, dtype=np.uint8), *parts], axis=0)


def _band(width: int, size: int) -> Image.Image:
    return Image.new("L", (width, size + 6), SPACER)


def _write(picture: Image.Image, left: int, text: str, size: int) -> None:
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text((left, picture.height / 2), text, fill=0, font=font, anchor="lm")


def _length(text: str, size: int) -> float:
    return ImageFont.load_default(size).getlength(text)
