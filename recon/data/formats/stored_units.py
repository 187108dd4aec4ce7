"""Units of stored numbers: times in seconds and running in cm/s, whatever unit the file states; unknown ones are told.

Running is in cm/s, as in the Sensorium recordings, on which the published encoders were trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from recon.data.hdf5 import Hdf5
from recon.data.layout import Array
from recon.errors import InputError

SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "us": 1e-6,
    "usec": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "microsecond": 1e-6,
    "ns": 1e-9,
    "nanosecond": 1e-9,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
}
CENTIMETRES = {
    "cm": 1.0,
    "centimeter": 1.0,
    "centimetre": 1.0,
    "mm": 0.1,
    "millimeter": 0.1,
    "millimetre": 0.1,
    "m": 100.0,
    "meter": 100.0,
    "metre": 100.0,
    "km": 1e5,
    "kilometer": 1e5,
    "kilometre": 1e5,
    "in": 2.54,
    "inch": 2.54,
}
UNSTATED = ("", "n.a.", "n/a", "na", "none", "unknown", "a.u.", "au", "arbitrary units")
"""Texts, in lower case, that state no unit."""
RUNNING = "cm/s"
SAMPLES = ("sample", "tick")
"""Units of times that count samples; `resolution` says how long one is."""
WHITE = "is white"
"""Words by which the scale of a movie is known among decisions."""
PER_SECOND = re.compile(r"\s*[ *·.]\s*\(?([a-zµμ]+)\)?\s*(?:\^|\*\*)?\s*\(?[-−⁻][1¹]\)?$")
"""The end of "cm s-1", "m*s^-1" and "m.s⁻¹"."""
WHOLE = 20
"""Number of spikes of which not one is between two seconds by chance."""


def seconds_per(unit: str) -> float | None:
    """Return the seconds of a unit of time; None if it is none.

    >>> seconds_per("Seconds"), seconds_per("ms"), seconds_per("frames")
    (1.0, 0.001, None)
    """
    return _known(unit, SECONDS)


def centimetres_per_second(unit: str) -> float | None:
    """Return the speed of one unit in cm/s; None if it is no speed.

    >>> centimetres_per_second("m/s"), centimetres_per_second("cm s^-1"), centimetres_per_second("rad/s")
    (100.0, 1.0, None)
    >>> centimetres_per_second("millimeters per second")
    0.1
    """
    text = PER_SECOND.sub(r"/\1", unit.strip().lower()).replace(" per ", "/")
    length, _, time = text.partition("/")
    one, other = _known(length, CENTIMETRES), _known(time, SECONDS)
    return None if one is None or other is None else one / other


def seconds(file: Hdf5, name: str) -> Array:
    """Return a column of times `(K,)` in seconds, float64, by its attribute `unit`."""
    return file.column(name).astype(np.float64) * seconds_in(file, name)


def seconds_in(file: Hdf5, name: str) -> float:
    """Return the seconds of the unit of an entry, 1 if it states none; what is converted or unknown is told."""
    unit = unit_of(file, name)
    factor = seconds_per(unit)
    if factor is None and unit:
        tell(file, name, f"unit {unit!r} is unknown, read as seconds")
    elif factor not in (None, 1.0):
        tell(file, name, f"{unit} become seconds")
    return 1.0 if factor is None else factor


def running(file: Hdf5, name: str, values: Array) -> Array:
    """Return running in cm/s from a series of speeds; an unknown unit leaves the values alone and is told."""
    unit = unit_of(file, name)
    factor = centimetres_per_second(unit)
    if factor is None:
        tell(file, name, f"unit {unit!r} is no speed, running is left as stored" if unit else "running has no unit")
        return values
    tell(file, name, f"running in {RUNNING}" + (f", from {unit}" if factor != 1 else ", as stored"))
    return values * factor


def spike_times(file: Hdf5, name: str) -> Array:
    """Return a column of spike times in seconds; those in samples are multiplied by the stated `resolution`.

    Without a unit, whole numbers are samples, as nwbinspector takes them, unless the resolution is a second.
    """
    times, unit = file.column(name), unit_of(file, name)
    if unit.removesuffix("s") not in SAMPLES and (unit or not _whole(times)):
        return times.astype(np.float64) * seconds_in(file, name)
    resolution = file.attributes(name).get("resolution")
    if not isinstance(resolution, float) or not 0 < resolution <= 1:
        raise InputError(
            f"{file.path}:{name}: expected spike times in seconds, got whole numbers and no resolution; if they count "
            "samples, set the attribute resolution to the seconds of one, otherwise the attribute unit"
        )
    tell(file, name, f"samples of {resolution:g} s become seconds")
    return times.astype(np.float64) * resolution


def unit_of(file: Hdf5, name: str) -> str:
    """Return the attribute `unit` of an entry; "" if it states none."""
    unit = file.attributes(name).get("unit", "")
    return unit.strip() if isinstance(unit, str) and unit.strip().lower() not in UNSTATED else ""


def tell(file: Hdf5, name: str, words: str) -> None:
    """Add what was done with a unit to what the file's readers say."""
    before = file.converted.get(name, "")
    if words not in before:
        file.converted[name] = f"{before}; {words}".lstrip("; ")


def decisions(converted: Mapping[str, str]) -> dict[str, str]:
    """Return what was decided on the numbers of a file: topic "scale" for movies, "units" for all others.

    >>> decisions({"a/timestamps": "ms become seconds"})
    {'units': 'a/timestamps: ms become seconds'}
    """
    topics: dict[str, list[str]] = {}
    for name, words in converted.items():
        topics.setdefault("scale" if WHITE in words else "units", []).append(f"{name}: {words}")
    return {topic: ". ".join(said) for topic, said in topics.items()}


def _known(unit: str, table: Mapping[str, float]) -> float | None:
    text = unit.strip().lower()
    return table.get(text, table.get(text.removesuffix("s"), table.get(text.removesuffix("es"))))


def _whole(times: Array) -> bool:
    """Return whether times are stored as integers, or many of them are whole numbers without exception."""
    if times.dtype.kind in "iu":
        return bool(len(times)) and bool(times.any())
    return len(times) >= WHOLE and bool((times == np.floor(times)).all())
