"""Safe reading of HDF5 files: only numbers and texts in the file itself; every failure is an InputError.

Numbers come as their attributes state them (`recon.data.stored_numbers`), so that no reader can forget a conversion.
The product reads no HDF5 file in another way: files of runs may come from a colleague, too.
"""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from recon.data.hdf5_storage import check_storage, elements, heaps_end, stored_bytes
from recon.data.layout import Array
from recon.data.limits import allowed, check_unpacked
from recon.data.stored_numbers import StoredScale, scaling_of
from recon.errors import InputError

BROKEN = (OSError, RuntimeError, LookupError, TypeError, MemoryError, ArithmeticError, AttributeError, ValueError)
"""Exceptions that h5py raises for damaged files."""
Found = TypeVar("Found")
TEXTS, PIECE = 1_000_000, 4096
"""Maximum length of a text column; texts per read."""
LINKS = 16
"""Maximum number of soft links on the way to an entry, as in HDF5."""


@dataclass(frozen=True)
class Values:
    """A numeric dataset, read in slices and scaled; raises InputError with its name for damaged parts."""

    name: str
    stored: h5py.Dataset
    scaling: StoredScale

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the lengths of the axes."""
        return tuple(int(size) for size in self.stored.shape)

    def __getitem__(self, index: Any) -> Array:
        """Return a part of the dataset; lists of indices must increase (h5py)."""
        try:
            piece = np.asarray(self.stored[index])
        except BROKEN as error:
            raise InputError(f"{self.name}: expected readable values, got {error}; copy the file again") from error
        return self.scaling.apply(piece, index, self.shape)


class Turned:
    """Transpose of a stored series: `(n,S)`, read in slices as `(S,n)`."""

    def __init__(self, stored: Values) -> None:
        self.stored, self.shape = stored, stored.shape[::-1]

    def __getitem__(self, index: slice) -> Array:
        """Return samples `(k,n)`."""
        turned: Array = self.stored[:, index].T
        return turned


def guarded(method: Callable[..., Found]) -> Callable[..., Found]:
    """Turn h5py's exceptions for damaged files into one InputError that names the file and the entry."""

    @functools.wraps(method)
    def read(self: Any, name: str, **options: Any) -> Found:
        try:
            return method(self, name, **options)
        except InputError:
            raise
        except BROKEN as error:
            raise InputError(f"{self.path}:{name}: expected readable data, got {error}; copy the file again") from error

    return read


@dataclass(frozen=True)
class Hdf5:
    """An open HDF5 file; closed by `with` or by garbage collection.

    `converted` says by name what was done to the numbers of every entry that was read and is stored otherwise.
    """

    path: Path
    file: h5py.File
    converted: dict[str, str] = field(default_factory=dict, compare=False)

    def __enter__(self) -> Hdf5:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @functools.cached_property
    def readable_texts(self) -> bool:
        """Whether the texts of the file can be read without end; searched once."""
        return heaps_end(self.path)

    @guarded
    def find(self, name: str) -> Any:
        """Return the group or dataset of a name, or None.

        Raises InputError for data outside the file (a link on the way, or the storage) and for a dataset that unpacks
        to more than its file may hold. Soft links are followed here, since HDF5 follows them into other files.
        """
        place, left, links = self.file, _parts(name), 0
        while left:
            part = left.pop(0)
            if not isinstance(place, h5py.Group) or part not in place:
                return None
            link = place.get(part, getlink=True)
            if isinstance(link, h5py.HardLink):
                place = place[part]
                continue
            links += 1
            if not isinstance(link, h5py.SoftLink) or links > LINKS:
                got = "a link to others" if links <= LINKS else "links in a circle"
                raise InputError(f"{self.path}:{name}: expected data in this file, got {got}; copy it in")
            place, left = self.file if link.path.startswith("/") else place, [*_parts(link.path), *left]
        if isinstance(place, h5py.Dataset):
            check_storage(self.path, name, place)
        return place

    @guarded
    def kind(self, name: str) -> str:
        """Return the kind of an entry: "numbers", "texts", "other" (data), "group", or "" if there is none."""
        found = self.find(name) if name else None
        if not isinstance(found, h5py.Dataset):
            return "" if found is None else "group"
        if found.dtype.kind in "fiub":
            return "numbers"
        return "other" if h5py.check_string_dtype(found.dtype) is None else "texts"

    @guarded
    def children(self, pattern: str) -> list[str]:
        """Return the sorted names of entries that match a pattern, for example "processing/ophys/*/Roi*"."""
        folder, _, last = pattern.rpartition("/")
        parents = self.children(folder) if any(sign in folder for sign in "*?[") else [folder]
        found = []
        for parent in parents:
            group = self.find(parent)
            if isinstance(group, h5py.Group):
                names = fnmatch.filter(list(group.keys()), last)
                found += [f"{parent}/{name}".lstrip("/") for name in sorted(names, key=lambda n: (len(n), n))]
        return found

    @guarded
    def values(self, name: str, *, axes: int | None = None) -> Values:
        """Return a numeric dataset; raises InputError if missing, stored elsewhere, or not of `axes` axes."""
        found = self.find(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiub" or found.shape is None:
            raise InputError(f"{self.path}:{name}: expected numbers, got {_describe(found)}; name another data set")
        if axes is not None and len(found.shape) != axes:
            raise InputError(f"{self.path}:{name}: expected {axes} axes, got {found.shape}; name another data set")
        return Values(f"{self.path}:{name}", found, self._scaling(name, found))

    @guarded
    def whole(self, name: str, *, axes: int | None = None) -> Array:
        """Return all values of a numeric dataset; the limit holds for them as float64."""
        values = self.values(name, axes=axes)
        check_unpacked(values.name, 8 * elements(values.stored), stored_bytes(self.path, values.stored))
        return np.asarray(values[()])

    @guarded
    def column(self, name: str) -> Array:
        """Return a numeric column `(K,)`."""
        return self.whole(name, axes=1)

    @guarded
    def samples(self, name: str) -> int:
        """Return the length of the first axis of a numeric dataset; the limit holds for so many times in float64."""
        values = self.values(name)
        count = values.shape[0] if values.shape else 0
        check_unpacked(values.name, 8 * count, stored_bytes(self.path, values.stored))
        return count

    @guarded
    def attributes(self, name: str) -> dict[str, float | str]:
        """Return the attributes of an entry that are one number or one text."""
        found = self.find(name)
        kept = {key: self._attribute(found, key) for key in found.attrs} if found is not None else {}
        return {key: value for key, value in kept.items() if value is not None}

    @guarded
    def number(self, name: str, *, key: str, default: float | None = None) -> float:
        """Return an attribute of an entry that is a finite number; raises InputError for any other."""
        found = self.find(name)
        value = self._attribute(found, key) if found is not None and key in found.attrs else default
        if value is None or isinstance(value, str) or not math.isfinite(value):
            raise InputError(f"{self.path}:{name}: expected a number for {key}, got {value!r}; copy the file again")
        return value

    @guarded
    def start(self, name: str) -> tuple[float, float]:
        """Return the start time (s) of a series, a scalar, and its attribute `rate` (Hz); NaN where missing."""
        found = self.find(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.shape != ():
            return float("nan"), float("nan")
        rate = self._attribute(found, "rate") if "rate" in found.attrs else None
        return float(found[()]), rate if isinstance(rate, float) else float("nan")

    @guarded
    def texts(self, name: str) -> list[str]:
        """Return a text column; numbers are converted to text."""
        found = self.find(name)
        numbers = isinstance(found, h5py.Dataset) and found.dtype.kind in "fiub"
        texts = isinstance(found, h5py.Dataset) and h5py.check_string_dtype(found.dtype) is not None
        if not (numbers or texts) or found.shape is None or len(found.shape) != 1 or found.shape[0] > TEXTS:
            raise InputError(f"{self.path}:{name}: expected a text column, got {_describe(found)}; name another column")
        if numbers:
            return [str(value) for value in self.column(name)]
        return self._texts(name, found)

    def _scaling(self, name: str, found: h5py.Dataset) -> StoredScale:
        """Return the scaling of a dataset, with the factors of its channels; frame numbers (IndexSeries) have none."""
        scaling, folder = scaling_of(found), name.rpartition("/")[0]
        each = self.find(f"{folder}/channel_conversion") if name.endswith("/data") else None
        if scaling.rescales and self.attributes(folder).get("neurodata_type") == "IndexSeries":
            scaling = replace(scaling, factor=1.0, offset=0.0)
        if isinstance(each, h5py.Dataset):
            scaling = replace(scaling, channels=self._per_channel(f"{folder}/channel_conversion", found.shape))
        if scaling.words:
            self.converted[name] = scaling.words
        return scaling

    def _per_channel(self, name: str, shape: tuple[int, ...]) -> Array:
        factors = self.column(name)
        if len(shape) < 2 or len(factors) != shape[1] or not np.isfinite(factors).all():
            raise InputError(
                f"{self.path}:{name}: expected a factor for each column of {shape}, got "
                f"{len(factors)}; copy the file again"
            )
        return factors.reshape(-1, *[1] * (len(shape) - 2))

    def _texts(self, name: str, found: h5py.Dataset) -> list[str]:
        """Return texts, read in pieces: many entries may refer to one large text."""
        self._check_texts()
        texts: list[str] = []
        size, stored = 0, self.path.stat().st_size
        step = min(max(allowed(0) // max(stored, 1), 1), PIECE)
        for first in range(0, found.shape[0], step):
            texts += [str(value) for value in found.asstr(errors="replace")[first : first + step]]
            size += sum(map(len, texts[first:]))
            check_unpacked(f"{self.path}:{name}", size, 0)
        return texts

    def _attribute(self, found: h5py.Group | h5py.Dataset, key: str) -> float | str | None:
        """Return an attribute that is one number or one text, else None: lists may unpack to more than they take."""
        about = found.attrs.get_id(key)
        text = h5py.check_string_dtype(about.dtype) is not None
        if about.shape is None or math.prod(about.shape) != 1 or not (text or about.dtype.kind in "fiub"):
            return None
        if text:
            self._check_texts()
        value = np.ravel(found.attrs[key])[0]
        if text:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return float(value)

    def _check_texts(self) -> None:
        if not self.readable_texts:
            raise InputError(f"{self.path}: expected readable texts, got a damaged heap of them; copy the file again")


def open_hdf5(path: Path) -> Hdf5:
    """Open an HDF5 file for reading; raises InputError for any other file."""
    if not path.is_file():
        raise InputError(f"{path}: expected an HDF5 file, got none; check the path")
    try:
        return Hdf5(path, h5py.File(path, "r"))
    except BROKEN as error:
        raise InputError(f"{path}: expected an HDF5 file, got {error}; copy it again") from error


def is_hdf5(path: Path) -> bool:
    """Return whether a file has the HDF5 signature."""
    try:
        return path.is_file() and bool(h5py.is_hdf5(path))
    except OSError:
        return False


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _describe(found: Any) -> str:
    if found is None:
        return "nothing"
    return f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "a group"
