"""Layout and drawing of a video of movies: the true movie on top, reconstructions below, each with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recon.media import Pixels, upscale

WIDTH, HEIGHT = 1280, 800
"""Pictures are enlarged by the largest whole number that keeps the video within this size."""
MARGIN, LINE, GAP = 16, 28, 12
"""Pixels: around the picture, per line of text, between movies."""
PAPER, INK, SOFT = 22, 238, 165
"""Grey values of the background, of text and of remarks."""
LARGE, SMALL = 17, 13
"""Font sizes in pixels; the smallest that names take before they are cut."""


@dataclass(frozen=True)
class Panels:
    """Places of movies of equal size: number 0 in the middle of the first row, the others below it in columns."""

    below: int
    height: int
    width: int
    columns: int
    scale: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole picture in pixels."""
        rows = 1 + -(-self.below // self.columns)
        return 2 * MARGIN + LINE + rows * self._down - GAP, 2 * MARGIN + self.columns * self._across - GAP

    @property
    def _down(self) -> int:
        return LINE + self.height * self.scale + GAP

    @property
    def _across(self) -> int:
        return self.width * self.scale + GAP

    def corner(self, number: int) -> tuple[int, int]:
        """Return top and left of a movie's pixels; its name is in the line above."""
        row, column = divmod(number + self.columns - 1, self.columns) if number else (0, 0)
        in_row = min(self.columns, self.below - (row - 1) * self.columns) if row else 1
        start = (self.size[1] - in_row * self._across + GAP) // 2
        return MARGIN + 2 * LINE + row * self._down, start + column * self._across


def panels_for(below: int, height: int, width: int) -> Panels:
    """Return the layout with the largest pictures `[height,width]` that fits.

    >>> panels_for(6, 36, 64).columns, panels_for(6, 36, 64).scale
    (3, 5)
    """
    scales = range(1, max(2, WIDTH // width + 1))
    all_layouts = [Panels(below, height, width, columns, scale) for columns in range(1, below + 1) for scale in scales]
    fitting = [each for each in all_layouts if each.size[0] <= HEIGHT and each.size[1] <= WIDTH]
    smallest = Panels(below, height, width, max(1, round(below**0.5)), 1)
    return max(fitting, key=lambda each: (each.scale, -each.columns), default=smallest)


def lettered(layout: Panels, title: str, names: Sequence[tuple[str, str]]) -> Pixels:
    """Return the picture `[h,w]` without movies: the title, and above each movie its name and a remark."""
    height, width = layout.size
    page = Image.new("L", (width, height), PAPER)
    pen, across = ImageDraw.Draw(page), layout.width * layout.scale
    _write(pen, (MARGIN, MARGIN + LARGE), title, width - 2 * MARGIN - 13 * LARGE, grey=SOFT)
    for number, (name, remark) in enumerate(names):
        top, left = layout.corner(number)
        reserved = _font().getlength(remark) + LARGE if remark else 0.0
        _write(pen, (left, top - 8), name, across - reserved)
        pen.text((left + across, top - 8), remark, fill=SOFT, font=_font(), anchor="rs")
    return np.asarray(page, dtype=np.uint8)


def filled(layout: Panels, lettering: Pixels, frames: Sequence[Pixels], *, clock: str) -> Pixels:
    """Return the picture `[h,w]` with one frame `[H,W]` of each movie and a remark about the time."""
    page = Image.fromarray(lettering)
    for number, frame in enumerate(frames):
        top, left = layout.corner(number)
        page.paste(Image.fromarray(upscale(frame, layout.scale)), (left, top))
    ImageDraw.Draw(page).text((page.width - MARGIN, MARGIN + LARGE), clock, fill=INK, font=_font(), anchor="rs")
    return np.asarray(page, dtype=np.uint8)


def fitted(text: str, room: float) -> tuple[str, int]:
    """Return text and the font size at which it is at most `room` pixels wide; cut with an ellipsis where none is.

    >>> fitted("map_spectrum", 500), fitted("map_spectrum", 98)[1] < 17, fitted("map_spectrum", 60)
    (('map_spectrum', 17), True, ('map_sp…', 13))
    """
    for size in range(LARGE, SMALL - 1, -1):
        if _font(size).getlength(text) <= room:
            return text, size
    kept = max((end for end in range(len(text)) if _font(SMALL).getlength(f"{text[:end]}…") <= room), default=0)
    return f"{text[:kept].rstrip()}…", SMALL


def _write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, room: float, *, grey: int = INK) -> None:
    """Write text on the baseline at `place`."""
    shown, size = fitted(text, room)
    pen.text(place, shown, fill=grey, font=_font(size), anchor="ls")


def _font(size: int = LARGE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
