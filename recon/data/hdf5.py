"""Safe reading of foreign HDF5 files: only numbers and texts in the file itself; every failure is an InputError."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from recon.data.layout import Array
from recon.errors import InputError

DAMAGED = (OSError, RuntimeError, KeyError, TypeError, MemoryError, OverflowError, AttributeError)
BROKEN = (*DAMAGED, ValueError)
"""Exceptions that h5py raises for damaged files."""
Found = TypeVar("Found")
TEXTS = 1_000_000
"""Maximum length of a text column."""


@dataclass(frozen=True)
class Values:
    """A numeric dataset, read in slices; raises InputError with its name for damaged parts."""

    name: str
    stored: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the lengths of the axes."""
        return tuple(int(size) for size in self.stored.shape)

    def __getitem__(self, index: Any) -> Array:
        """Return a part of the dataset; lists of indices must increase (h5py)."""
        try:
            return np.asarray(self.stored[index])
        except BROKEN as error:
            raise InputError(f"{self.name}: expected readable values, got {error}; copy the file again") from error


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
        except DAMAGED as error:
            raise InputError(f"{self.path}:{name}: expected readable data, got {error}; copy the file again") from error

    return read


@dataclass(frozen=True)
class Hdf5:
    """An open HDF5 file; garbage collection closes it."""

    path: Path
    file: h5py.File

    @guarded
    def find(self, name: str) -> Any:
        """Return the group or dataset of a name, or None; raises InputError if it is a link to another file."""
        place: Any = self.file
        for part in filter(None, name.split("/")):
            if not isinstance(place, h5py.Group) or part not in place:
                return None
            if isinstance(place.get(part, getlink=True), h5py.ExternalLink):
                raise InputError(f"{self.path}:{name}: expected data in this file, got a link to others; copy it in")
            place = place[part]
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
        if found.external or found.is_virtual:
            raise InputError(f"{self.path}:{name}: expected data in this file, got a link; copy the data in")
        if axes is not None and len(found.shape) != axes:
            raise InputError(f"{self.path}:{name}: expected {axes} axes, got {found.shape}; name another data set")
        return Values(f"{self.path}:{name}", found)

    @guarded
    def column(self, name: str) -> Array:
        """Return a numeric column `(K,)`."""
        return np.asarray(self.values(name, axes=1)[:])

    @guarded
    def start(self, name: str) -> tuple[float, float]:
        """Return the start time (s) of a series, a scalar, and its attribute `rate` (Hz); NaN where missing."""
        found = self.find(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.shape != ():
            return float("nan"), float("nan")
        rate = np.asarray(found.attrs.get("rate", np.nan))
        return float(found[()]), float(rate.ravel()[0]) if rate.dtype.kind in "fiu" and rate.size else float("nan")

    @guarded
    def texts(self, name: str) -> list[str]:
        """Return a text column; numbers are converted to text."""
        found = self.find(name)
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "fiub":
            return [str(value) for value in self.column(name)]
        kind = h5py.check_string_dtype(found.dtype) if isinstance(found, h5py.Dataset) else None
        if kind is None or found.shape is None or len(found.shape) != 1 or found.shape[0] > TEXTS:
            raise InputError(f"{self.path}:{name}: expected a text column, got {_describe(found)}; name another column")
        try:
            return [str(value) for value in found.asstr(errors="replace")[:]]
        except BROKEN as error:
            raise InputError(f"{self.path}:{name}: expected readable texts, got {error}; copy it again") from error


def open_hdf5(path: Path) -> Hdf5:
    """Open an HDF5 file for reading; raises InputError for any other file."""
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


def _describe(found: Any) -> str:
    if found is None:
        return "nothing"
    return f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "a group"
