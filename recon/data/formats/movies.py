"""Movies for import: arrays with named axes or video files, opened together and read in blocks of grey frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from recon.data.arrays import ArrayLike, ArraySource, Stored, open_stored, with_axes
from recon.data.colour import Luma, grey
from recon.data.grey_scale import GreyScale, StoredMovie, agreed, colour_in_words, kind_of, scale_in_words
from recon.data.layout import Array
from recon.data.resize import Size
from recon.data.video import VideoReader, is_video, open_video
from recon.errors import InputError
from recon.files.paths import user_path

Range = tuple[float, float]
"""Values of black and white."""
Several = ArrayLike | Sequence[ArrayLike]
"""One array or path, or a list with one for each movie or trial."""
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
    """A movie to import: its `label`, `frames`, `size` in pixels, whether it has colour, and remarks on its reading."""

    @property
    def label(self) -> str: ...

    @property
    def frames(self) -> int: ...

    @property
    def size(self) -> Size: ...

    @property
    def colour(self) -> bool: ...

    @property
    def remarks(self) -> tuple[str, ...]: ...

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

    @property
    def remarks(self) -> tuple[str, ...]:
        """Nothing: arrays have no display metadata."""
        return ()

    def stored(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end) in blocks `(t,H,W)` or `(t,H,W,c)` as stored."""
        step = max(BLOCK // (self.size[0] * self.size[1] * self.source.size("c")), 1)
        order = "thwc" if "c" in self.source.axes else "thw"
        for begin in range(first, end, step):
            yield self.source.read(self.trial, (begin, min(begin + step, end)), order)

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end) in blocks `(t,H,W)`, grey, in the units of the array."""
        for block in self.stored(first, end):
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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What of the display metadata changed the frames, or cannot be followed."""
        return self.reader.file.remarks

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


def value_ranges(movies: Sequence[MovieSource], given: Range | None, luma: Luma) -> tuple[tuple[Range, ...], str]:
    """Return black and white of each movie, and in words: given, 0–255 for video files, or found in all arrays."""
    if given is not None and not given[0] < given[1]:
        raise InputError(f"movie_range: expected (black, white) with black < white, got {given}; correct it")
    colour = any(movie.colour for movie in movies)
    if given is not None:
        said = [f"as given: {given[0]:g} is black, {given[1]:g} is white"]
        return (given,) * len(movies), "; ".join([*said, *colour_in_words(luma if colour else None)])
    arrays: dict[int, list[ArrayMovie]] = {}
    for movie in movies:
        if isinstance(movie, ArrayMovie):
            arrays.setdefault(id(movie.source), []).append(movie)
    stored = {array: _extremes(trials) for array, trials in arrays.items()}
    scales = _found(list(stored.values()))
    white = {array: scales[kind_of(found.kind)].white for array, found in stored.items()}
    files = {} if all(isinstance(movie, ArrayMovie) for movie in movies) else {"video files": GreyScale()}
    ranges = [
        (0.0, white[id(movie.source)] if isinstance(movie, ArrayMovie) else GreyScale().white) for movie in movies
    ]
    return tuple(ranges), scale_in_words(scales | files, luma if colour else None)


def _found(movies: Sequence[StoredMovie]) -> dict[str, GreyScale]:
    """Return the grey scale of each type; whole numbers that are 0 or 1 throughout are black or white."""
    scales = agreed(movies, mend="set movie_range to (black, white)")
    whole = [movie.high for movie in movies if movie.kind.kind in "iu"]
    two = bool(whole) and max(whole) == 1
    return {kind: GreyScale(1.0) if two and kind != "float" else scale for kind, scale in scales.items()}


def _extremes(trials: Sequence[ArrayMovie]) -> StoredMovie:
    """Return the lowest and highest stored value of an array; bytes are read up to the first above 1."""
    found = StoredMovie(f"movie {trials[0].label}", np.dtype(np.uint8), np.inf, -np.inf)
    for block in chain.from_iterable(movie.stored(0, movie.frames) for movie in trials):
        low, high = float(block.min()), float(block.max())
        if not np.isfinite([low, high]).all():
            raise InputError("movie: expected finite values, got NaN or infinity; cut those frames out")
        found = StoredMovie(found.name, block.dtype, min(found.low, low), max(found.high, high))
        if block.dtype == np.uint8 and found.high > 1:
            break
    return found


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
