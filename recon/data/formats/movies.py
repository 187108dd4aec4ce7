"""Movies for import: arrays with named axes or video files, opened together and read in blocks of grey frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from recon.data.arrays import ArrayLike, ArraySource, Stored, open_stored, with_axes
from recon.data.colour import Luma, grey
from recon.data.layout import Array
from recon.data.resize import Size
from recon.data.video import VideoReader, is_video, open_video
from recon.errors import InputError
from recon.files.paths import user_path

Range = tuple[float, float]
"""Values of black and white."""
Several = ArrayLike | Sequence[ArrayLike]
"""One array or path, or a list with one for each movie or trial."""
FILE_RANGE = (0.0, 255.0)
"""Black and white of video files."""
BLOCK = 2**22
"""Values per block that is read at once."""
RATE_ERROR = 0.01
"""Largest relative difference between the rate of a video file and the stated one."""
LETTERS = "r trials, t frames, h rows, w columns, c colours"


@dataclass(frozen=True)
class MovieForm:
    """How movies are stored: `axes` of arrays ("" if to be inferred), sizes of packed `bits`, `luma`, rate in Hz."""

    axes: str
    bits: tuple[int, int] | None
    luma: Luma
    frame_rate: float


class MovieSource(Protocol):
    """A movie to import: its `label`, `frames`, `size` in pixels, and whether it has colour."""

    @property
    def label(self) -> str: ...

    @property
    def frames(self) -> int: ...

    @property
    def size(self) -> Size: ...

    @property
    def colour(self) -> bool: ...

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end) in blocks `(t,H,W)`, grey, in the units of the source."""
        ...


@dataclass(frozen=True)
class ArrayMovie:
    """A movie in an array, or one of its trials."""

    label: str
    source: ArraySource
    trial: int
    luma: Luma

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.source.size("t")

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.source.size("h"), self.source.size("w")

    @property
    def colour(self) -> bool:
        """True for red, green and blue."""
        return self.source.size("c") == 3

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end) in blocks `(t,H,W)`, grey, in the units of the array."""
        step = max(BLOCK // (self.size[0] * self.size[1] * self.source.size("c")), 1)
        order = "thwc" if "c" in self.source.axes else "thw"
        for begin in range(first, end, step):
            block = self.source.read(self.trial, (begin, min(begin + step, end)), order)
            yield grey(block, self.luma) if self.colour else block.reshape(block.shape[:3])


@dataclass(frozen=True)
class VideoMovie:
    """A movie in a video file, grey levels 0–255."""

    label: str
    reader: VideoReader
    luma: Luma

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.reader.file.frames

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.reader.file.size

    @property
    def colour(self) -> bool:
        """True unless the file stores grey levels only."""
        return self.reader.file.colour

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end) one by one `(1,H,W)`, grey levels 0–255."""
        for picture in self.reader.read(first, end):
            yield grey(picture[None], self.luma)


def open_movies(movie: Several, form: MovieForm, stack: ExitStack) -> tuple[MovieSource, ...]:
    """Open all movies: one for each file of a list, or for each trial of an array; all of one frame size."""
    parts = each(movie)
    if not parts:
        raise InputError("movie: expected at least one, got an empty list; name an array or a file")
    found: list[MovieSource] = []
    for number, part in enumerate(parts):
        if isinstance(part, str | Path) and is_video(user_path(part)):
            found.append(_video(user_path(part), form))
        else:
            stored, label = open_stored(part, stack), _label(part, number)
            found += _of_array(stored, label, form, listed=len(parts) > 1)
    odd = next((one for one in found if one.size != found[0].size), None)
    if odd is not None:
        raise InputError(
            f"movies: expected one frame size, got {found[0].size} ({found[0].label}) and {odd.size} ({odd.label}); "
            "write all of them at one size first"
        )
    return tuple(found)


def each(value: Several) -> Sequence[ArrayLike]:
    """Return the arrays or paths of a list, or of one that stands alone.

    >>> each("a.npy"), each(["a.npy", "b.npy"])
    (['a.npy'], ['a.npy', 'b.npy'])
    """
    return value if isinstance(value, list | tuple) else [cast(ArrayLike, value)]


def value_ranges(movies: Sequence[MovieSource], given: Range | None) -> tuple[Range, ...]:
    """Return black and white of each movie: given, 0–255 for video files, or inferred for all arrays together."""
    if given is not None and not given[0] < given[1]:
        raise InputError(f"movie_range: expected (black, white) with black < white, got {given}; correct it")
    arrays = [movie for movie in movies if isinstance(movie, ArrayMovie)]
    coded = given or FILE_RANGE
    inferred = given or (find_range(arrays) if arrays else FILE_RANGE)
    return tuple(coded if isinstance(movie, VideoMovie) else inferred for movie in movies)


def find_range(movies: Sequence[ArrayMovie]) -> Range:
    """Return the values of black and white of arrays, (0, 1) or (0, 255), inferred from their extremes."""
    if all(movie.source.bits is not None for movie in movies):
        return (0.0, 1.0)
    extremes = [_extremes(block) for movie in movies for block in movie.read(0, movie.frames)]
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    if low >= 0 and high <= 1:
        return (0.0, 1.0)
    if low >= 0 and high <= 255:
        return (0.0, 255.0)
    raise InputError(f"movie: expected values in 0–1 or 0–255, got {low} to {high}; set movie_range to (black, white)")


def named_axes(shape: Sequence[int], *, listed: bool) -> str:
    """Return the axes of a movie of a shape; raises InputError where several readings are possible.

    >>> named_axes((600, 36, 64), listed=False), named_axes((600, 36, 64, 3), listed=False)
    ('thw', 'thwc')
    >>> named_axes((40, 300, 36, 64), listed=False), named_axes((600, 3, 36, 64), listed=True)
    ('rthw', 'tchw')
    """
    shape = tuple(map(int, shape))
    if len(shape) in (4, 5) and shape[-1] == 4:
        raise InputError(f"movie: expected 1 or 3 colours, got shape {shape}; leave out the alpha channel")
    if len(shape) == 4 and shape[-1] in (1, 3):
        return "thwc"
    if len(shape) == 4 and shape[1] in (1, 3) and not listed:
        raise InputError(
            f"movie: expected axes that can be told apart, got shape {shape}: frames of {shape[1]} colours (tchw) or "
            f"trials of {shape[1]} frames (rthw); name them (axes)"
        )
    if len(shape) == 5 and not listed and (shape[-1] in (1, 3)) != (shape[2] in (1, 3)):
        return "rthwc" if shape[-1] in (1, 3) else "rtchw"
    if len(shape) == 4:
        return "tchw" if listed and shape[1] in (1, 3) else "rthw"
    return "thw"


def _video(path: Path, form: MovieForm) -> VideoMovie:
    file, rate = open_video(path), form.frame_rate
    if abs(file.rate - rate) > RATE_ERROR * rate:
        raise InputError(
            f"{path}: expected {rate:g} frames per second (frame_rate), got a file of {file.rate:g}; set frame_rate to "
            f"{file.rate:g}, or encode the file again at the rate at which it was shown"
        )
    return VideoMovie(path.name, VideoReader(file), form.luma)


def _of_array(stored: Stored, label: str, form: MovieForm, *, listed: bool) -> list[MovieSource]:
    axes = form.axes or ("thw" if form.bits else named_axes(stored.shape, listed=listed))
    plain = axes.replace("r", "", 1).replace("c", "", 1)
    if sorted(plain) != ["h", "t", "w"] or (form.bits and "c" in axes) or (listed and "r" in axes):
        more = "" if listed else " and perhaps r and c"
        raise InputError(f"axes: expected the letters t, h, w{more}, each once, got {axes!r}; letters: {LETTERS}")
    source = with_axes("movie", stored, axes, form.bits)
    if source.size("c") not in (1, 3):
        raise InputError(f"movie: expected 1 or 3 colours, got {source.size('c')}; leave the others out")
    trials = range(source.size("r"))
    return [ArrayMovie(f"{label}[{trial}]" if "r" in axes else label, source, trial, form.luma) for trial in trials]


def _label(part: ArrayLike, number: int) -> str:
    return str(part).rpartition("/")[2] if isinstance(part, str | Path) else str(number)


def _extremes(block: Array) -> Range:
    low, high = float(block.min()), float(block.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("movie: expected finite values, got NaN or infinity; cut those frames out")
    return low, high
