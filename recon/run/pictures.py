"""Pictures of a running reconstruction for TensorBoard: film strips and movies with their labels in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.media import SPACER, Pixels, encode_gif, encode_png, side_by_side, spread_frames, upscale

FRAMES, GAP = 3, 4
"""Frames of a film strip, and the gap between pictures."""
WIDTH = 390
"""Width of a picture, about that of a card: TensorBoard shrinks what is wider, labels included."""
SIZE, LEAST = 13, 8
"""Size of the font, and the least that a long title is shrunk to."""
GREYS = 32
"""Grey levels of a movie: noise in the last bits would make it three times as large."""
RATE = 10.0
"""Highest frame rate of a movie, in Hz: all movies of the demo fit into 30 MB, were they noise."""


@dataclass(frozen=True)
class FramesShown:
    """The frames [first, end) of a clip that are shown, and their rate in Hz."""

    first: int
    end: int
    rate: float


def strip_png(movies: Sequence[Pixels], names: Sequence[str], shown: FramesShown, *, title: str) -> bytes:
    """Return a film strip as PNG: one row per movie `[T,H,W]`, below its name; the first row has the times."""
    frames = spread_frames(len(movies[0]), count=FRAMES, first=shown.first, end=shown.end)
    factor = _factor(movies[0], len(frames))
    times = [f"{frame / shown.rate:.2f} s" for frame in frames]
    rows: list[Pixels] = []
    for movie, name in zip(movies, names, strict=True):
        row = side_by_side([upscale(movie[None, frame], factor) for frame in frames], gap=GAP)[0]
        rows += [_band([name] if rows else [f"{name}, {times[0]}", *times[1:]], row.shape[1]), row]
    return encode_png(_under_title(rows, title))


def movie_gif(movies: Sequence[Pixels], names: Sequence[str], shown: FramesShown, *, title: str) -> bytes:
    """Return movies `[T,H,W]` side by side as a looping GIF, each below its name."""
    stride = max(1, round(shown.rate / RATE))
    factor = _factor(movies[0], len(movies))
    moving = side_by_side(
        [upscale(_coarse(movie[shown.first : shown.end : stride]), factor) for movie in movies], gap=GAP
    )
    head = _under_title([_band(names, moving.shape[2])], title)
    whole = np.concatenate([np.broadcast_to(head, (len(moving), *head.shape)), moving], axis=1)
    return encode_gif(whole, frame_rate=shown.rate / stride)


def _factor(movie: Pixels, columns: int) -> int:
    """Return how often a pixel is repeated, so that all columns fill the width of a picture."""
    return max(1, round((WIDTH / columns - GAP) / int(movie.shape[2])))


def _coarse(movie: Pixels) -> Pixels:
    step = 256 // GREYS
    coarse: Pixels = (movie // step * step + step // 2).astype(np.uint8)
    return coarse


def _under_title(parts: Sequence[Pixels], title: str) -> Pixels:
    """Return pictures of one width below each other, under a title."""
    return np.concatenate([_band([title], parts[0].shape[1]), *parts], axis=0)


def _band(texts: Sequence[str], width: int) -> Pixels:
    """Return a white band `[h,width]` with a text above each column, shrunk to fit."""
    column = (width + GAP) // len(texts)
    size = next((size for size in range(SIZE, LEAST, -1) if max(_length(one, size) for one in texts) <= column), LEAST)
    band, font = Image.new("L", (width, size + 6), SPACER), ImageFont.load_default(size)
    for place, one in enumerate(texts):
        ImageDraw.Draw(band).text((place * column, band.height / 2), one, fill=0, font=font, anchor="lm")
    return np.asarray(band, dtype=np.uint8)


def _length(text: str, size: int) -> float:
    return ImageFont.load_default(size).getlength(text)
