"""Time series of NWB 1 and 2: sample times and behavior in settled units, movies as grey levels, blinks masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recon.data.formats.session import FEWEST, Stream
from recon.data.formats.stored_units import running, seconds, seconds_in, tell, unit_of
from recon.data.grey_scale import GreyScale, colour_in_words, decide, measured
from recon.data.hdf5 import Hdf5, Values
from recon.data.layout import Array
from recon.data.unit_ids import Ids
from recon.errors import InputError

BLINK = "likely_blink"
"""Series of an eye tracking container that is true while the animal blinks (Allen)."""
MEND = "state conversion and offset of the series so that black is 0 and white 1 or 255"
"""Remedy for movies of another scale."""


def times_of(file: Hdf5, series: str) -> Array:
    """Return the sample times `(S,)` of a TimeSeries in seconds from its timestamps, or from starting time and rate."""
    if file.find(f"{series}/timestamps") is not None:
        return seconds(file, f"{series}/timestamps")
    begin, rate = file.start(f"{series}/starting_time")
    if not rate > 0 or not np.isfinite([begin, rate]).all():
        raise InputError(f"{file.path}:{series}: expected timestamps, or starting_time with a rate; add them")
    begin *= seconds_in(file, f"{series}/starting_time")
    return begin + np.arange(file.samples(f"{series}/data")) / rate


def behavior_streams(file: Hdf5, places: Mapping[str, tuple[str, int]], notes: list[str]) -> dict[str, Stream]:
    """Return the behavior streams found at `places` (series, column) by their names; running in cm/s, blinks NaN."""
    found = {}
    for signal, (name, column) in places.items():
        if file.find(f"{name}/data") is None:
            notes.append(f"{signal}: nothing at {name}; left out")
            continue
        values, times = file.whole(f"{name}/data").astype(np.float64), times_of(file, name)
        values = values.reshape(len(values), int(np.prod(values.shape[1:]))) if values.ndim else values.reshape(1, 1)
        if len(values) != len(times) or not 0 <= column < values.shape[1]:
            notes.append(f"{signal}: {values.shape} values for {len(times)} times; left out")
            continue
        own = values[:, column : column + 1]
        if signal == "running_speed":
            own = running(file, f"{name}/data", own)
        elif unit := unit_of(file, f"{name}/data"):
            tell(file, f"{name}/data", f"in {unit}, as stored")
        if signal.startswith("pupil"):
            own = _without_blinks(file, name, own)
        timed = np.isfinite(times)
        timed[timed] = np.diff(times[timed], prepend=-np.inf) > 0
        if not timed.all():
            notes.append(f"{signal}: {int((~timed).sum())} samples with non-increasing times are left out")
        if int(timed.sum()) < FEWEST or bool(np.isnan(own[timed]).all()):
            notes.append(f"{signal}: no samples; left out")
            continue
        found[signal] = Stream(times[timed], own[timed])
    return found


def unit_ids(file: Hdf5, name: str) -> Ids:
    """Return a column of ids; raises InputError for anything but whole numbers and texts."""
    if file.kind(name) == "texts":
        return file.texts(name)
    ids = file.column(name)
    if not (np.isfinite(ids) & (ids == np.floor(ids))).all():
        raise InputError(f"{file.path}:{name}: expected whole numbers as ids, got others; copy the file again")
    return [int(each) for each in ids]


def grey_movie(file: Hdf5, name: str) -> Values:
    """Return a dataset of frames `(T,H,W)` or `(T,H,W,3)` as grey levels 0–255, colours each for itself.

    The scale is decided once, from the type and the extremes of the whole series; numbers with a conversion count as
    floats. Above 255, whole numbers of one colour have the white of `bits_per_pixel`, if the series states it.
    """
    movie = file.values(name)
    if len(movie.shape) not in (3, 4) or (len(movie.shape) == 4 and movie.shape[-1] != 3) or 0 in movie.shape:
        raise InputError(f"{movie.name}: expected frames (T,H,W) or (T,H,W,3), got {movie.shape}; name another series")
    kind = np.dtype(np.float64) if movie.scaling.changes else movie.stored.dtype
    found = measured(movie.name, movie, kind)
    scale = decide(kind, found.low, found.high, name=movie.name, mend=MEND)
    if kind.kind in "iu" and found.high > 255 and len(movie.shape) == 3:
        scale = _of_bits(file, name, found.high) or scale
    tell(file, name, "; ".join([str(scale), *colour_in_words("rec601" if len(movie.shape) == 4 else None)]))
    if scale.white == 255 and kind.kind in "iu":
        return movie
    return replace(movie, scaling=movie.scaling.then(255 / scale.white, (0.0, 255.0)))


def _of_bits(file: Hdf5, name: str, high: float) -> GreyScale | None:
    """Return the scale of a series that states its bits per pixel, if its numbers keep within them."""
    place = f"{name.rpartition('/')[0]}/bits_per_pixel"
    bits = int(file.whole(place).ravel()[0]) if file.kind(place) == "numbers" else 0
    return GreyScale(float(2**bits - 1)) if 8 < bits <= 16 and high < 2**bits else None


def _without_blinks(file: Hdf5, name: str, values: Array) -> Array:
    """Return samples that are NaN where the container of the series marks a blink."""
    place = f"{name.rpartition('/')[0]}/{BLINK}/data"
    if file.kind(place) != "numbers":
        return values
    blinks = file.whole(place).ravel()
    if len(blinks) != len(values):
        return values
    tell(file, f"{name}/data", f"missing in blinks ({BLINK})")
    return np.where(blinks[:, None] > 0, np.nan, values)
