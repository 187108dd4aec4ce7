"""Grey scales: the stored values of black and white, decided from the type and the extremes of everything stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recon.data.arrays import Stored
from recon.data.colour import Luma, in_words
from recon.data.layout import Array
from recon.errors import InputError

WHITES = {"b": (1.0,), "f": (1.0, 255.0), "uint16": (255.0, 65535.0)}
"""White by type, in ascending order; (255,) for all other whole numbers. Black is 0."""
BLOCK = 2**22
"""Values per block in which extremes are searched."""
TOLERANCE = 1e-3
"""Overshoot of floats that is clipped, relative to white: rounding, not another scale."""
DOUBTFUL = 2.0
"""Floats of a maximum from 1 to here are refused: an overshoot of 0–1 and a dark movie in 0–255 look the same."""


class StoredMovie(NamedTuple):
    """A stored movie or image: its name, the type of its numbers, and the lowest and highest of all of them."""

    name: str
    kind: np.dtype[Any]
    low: float
    high: float


@dataclass(frozen=True)
class GreyScale:
    """Linear map of stored values to grey levels 0–255: 0 is black, `white` is white."""

    white: float = 255.0

    def levels(self, frames: Array) -> Array:
        """Return frames as grey levels 0–255; those stored so are returned unchanged.

        >>> GreyScale(1.0).levels(np.array([[0.0, 1.0]])).tolist()
        [[0.0, 255.0]]
        """
        if self.white == 255 and frames.dtype.kind != "f":
            return frames
        levels: Array = np.clip(frames.astype(np.float32) * np.float32(255 / self.white), 0, 255)
        return levels

    def __str__(self) -> str:
        return f"0 is black, {self.white:g} is white"


def measured(name: str, stored: Stored, kind: np.dtype[Any] | None = None) -> StoredMovie:
    """Return the extremes of a stored array, read in blocks along its first axis; bytes and booleans are not read.

    `kind`: the type of its numbers, by default that of its first frame.
    The extremes of bytes are taken as 0 and 255: whatever they hold, they are grey levels.
    """
    kind = np.asarray(stored[:1]).dtype if kind is None else kind
    if kind.kind == "b" or kind == np.uint8:
        return StoredMovie(name, kind, 0.0, 1.0 if kind.kind == "b" else 255.0)
    if kind.kind not in "fiu":
        raise InputError(f"{name}: expected numbers, got {kind}; write them again")
    count, size = int(stored.shape[0]), int(np.prod(stored.shape[1:], dtype=np.int64))
    step = max(BLOCK // max(size, 1), 1)
    blocks = (np.asarray(stored[first : first + step]) for first in range(0, count, step))
    extremes = np.array([(block.min(), block.max()) for block in blocks if block.size], dtype=np.float64)
    if not len(extremes):
        return StoredMovie(name, kind, 0.0, 0.0)
    return StoredMovie(name, kind, float(extremes[:, 0].min()), float(extremes[:, 1].max()))


def scale_of(name: str, movie: Stored) -> tuple[GreyScale, str]:
    """Return the grey scale of one stored movie `(T,H,W)` or `(T,H,W,3)`, and in words."""
    found = agreed([measured(name, movie)])
    (scale,) = found.values()
    return scale, scale_in_words(found, "rec601" if len(movie.shape) == 4 else None)


def decide(
    kind: np.dtype[Any],
    low: float,
    high: float,
    *,
    name: str = "movie",
    mend: str = "rescale them",
    whites: Sequence[float] = (),
) -> GreyScale:
    """Return the grey scale of numbers of a type between `low` and `high`; raises InputError where none fits.

    Whole numbers of at most 255 are grey levels as stored, also where all are 0 or 1; 16-bit numbers above 255 have
    white at 65535. Floats have white at 1, or at 255 where they exceed 1. `whites`: other candidates, ascending.

    >>> decide(np.dtype("float32"), 0.0, 1.0).white, decide(np.dtype("uint8"), 0.0, 1.0).white
    (1.0, 255.0)
    """
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name}: expected finite grey levels, got NaN or infinity; fill them or cut them out")
    slack = TOLERANCE if kind.kind == "f" else 0.0
    whites = whites or _whites(kind)
    fits = [white for white in whites if low >= -slack * white and high <= (1 + slack) * white]
    if not fits or (kind.kind == "f" and fits[0] > 1 and high <= DOUBTFUL):
        wanted = " or ".join(f"0–{white:g}" for white in whites)
        raise InputError(f"{name}: expected {kind.name} grey levels in {wanted}, got {low:g} to {high:g}; {mend}")
    return GreyScale(fits[0])


def agreed(movies: Iterable[StoredMovie], *, mend: str = "rescale them") -> dict[str, GreyScale]:
    """Return one grey scale for each type of numbers among all movies of a recording, by `kind_of`.

    Raises InputError for movies of one type that were written at two scales.
    """
    by_kind: dict[str, list[StoredMovie]] = {}
    for movie in movies:
        by_kind.setdefault(kind_of(movie.kind), []).append(movie)
    return {kind: _shared(parts, mend) for kind, parts in by_kind.items()}


def kind_of(kind: np.dtype[Any]) -> str:
    """Return the type in words; floats of any size count as one.

    >>> kind_of(np.dtype(">u2")), kind_of(np.dtype("float32"))
    ('uint16', 'float')
    """
    return "float" if kind.kind == "f" else kind.name


def scale_in_words(scales: Mapping[str, GreyScale], luma: Luma | None = None) -> str:
    """Return what was decided as a sentence; `luma`: weights with which colour becomes grey, None without colour.

    >>> scale_in_words({"uint8": GreyScale(), "float": GreyScale(1.0)})
    'uint8: 0 is black, 255 is white; float: 0 is black, 1 is white'
    """
    return "; ".join([*(f"{kind}: {scale}" for kind, scale in scales.items()), *colour_in_words(luma)])


def colour_in_words(luma: Luma | None) -> list[str]:
    """Return a sentence on the conversion of colour; none for `luma` None."""
    return [] if luma is None else [f"colour becomes grey, {in_words(luma)}"]


def _whites(kind: np.dtype[Any]) -> tuple[float, ...]:
    return WHITES.get(kind.name, WHITES.get(kind.kind, (255.0,)))


def _shared(movies: Sequence[StoredMovie], mend: str) -> GreyScale:
    for movie in movies:
        if not np.isfinite([movie.low, movie.high]).all():
            return decide(movie.kind, movie.low, movie.high, name=movie.name)
    low, high = min(movies, key=lambda movie: movie.low), max(movies, key=lambda movie: movie.high)
    scale = decide(high.kind, low.low, high.high, name=(low if low.low < -TOLERANCE else high).name, mend=mend)
    darker = max((white for white in _whites(high.kind) if white < scale.white), default=0.0)
    other = next((movie for movie in movies if 0 < movie.high <= darker * (1 + TOLERANCE)), None)
    if other is not None:
        raise InputError(
            f"{other.name}: expected {kind_of(other.kind)} grey levels of one scale, got at most {other.high:g} here "
            f"and {high.high:g} in {high.name}; write both at one scale"
        )
    return scale
