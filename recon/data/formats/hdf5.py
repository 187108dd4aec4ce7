"""HDF5 files of others: only numbers and texts that lie in the file itself are read, and every failure is one error."""

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
"""What h5py raises on files that are damaged."""
Found = TypeVar("Found")
TEXTS = 1_000_000
"""More texts than this are no column of a table of stimuli."""


@dataclass(frozen=True)
class Values:
    """A data set of numbers, read in slices; a damaged part is an InputError that names it."""

    name: str
    stored: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        """Return how long its axes are."""
        return tuple(int(size) for size in self.stored.shape)

    def __getitem__(self, index: Any) -> Array:
        """Return a part; a list of places along the first axis may be in any order and repeat."""
        try:
            return np.asarray(self.stored[index])
        except BROKEN as error:
            raise InputError(f"{self.name}: expected readable values, got {error}; copy the file again") from error


class Turned:
    """Series `(n,S)`, read in slices as `(S,n)`."""

    def __init__(self, stored: Values) -> None:
        self.stored, self.shape = stored, stored.shape[::-1]

    def __getitem__(self, index: slice) -> Array:
        """Return samples `(k,n)`."""
        turned: Array = self.stored[:, index].T
        return turned


def guarded(method: Callable[..., Found]) -> Callable[..., Found]:
    """Turn what h5py raises on damaged files into one InputError that names the file and what was sought."""

    @functools.wraps(method)
    def read(self: Any, name: str, **options: Any) -> Found:
        try:
            return method(self, name, **options)
        except DAMAGED as error:
            raise InputError(f"{self.path}:{name}: expected readable data, got {error}; copy the file again") from error

    return read


@dataclass(frozen=True)
class Hdf5:
    """An open file, closed when it is dropped."""

    path: Path
    file: h5py.File

    @guarded
    def find(self, name: str) -> Any:
        """Return the group or data set of a name, or none; raises InputError where it lies in another file."""
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
        """Return what has a name: "numbers", "texts" or "other" data, a "group"; "" where there is nothing."""
        found = self.find(name) if name else None
        if not isinstance(found, h5py.Dataset):
            return "" if found is None else "group"
        if found.dtype.kind in "fiub":
            return "numbers"
        return "other" if h5py.check_string_dtype(found.dtype) is None else "texts"

    @guarded
    def children(self, pattern: str) -> list[str]:
        """Return the names of the entries of a group that match, for example "processing/ophys/*/Roi*", in order."""
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
        """Return a data set of numbers; raises InputError where there is none, or it has not so many axes."""
        found = self.find(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiub" or found.shape is None:
            raise InputError(f"{self.path}:{name}: expected numbers, got {_what(found)}; name another data set")
        if found.external or found.is_virtual:
            raise InputError(f"{self.path}:{name}: expected data in this file, got others'; copy them in")
        if axes is not None and len(found.shape) != axes:
            raise InputError(f"{self.path}:{name}: expected {axes} axes, got {found.shape}; name another data set")
        return Values(f"{self.path}:{name}", found)

    @guarded
    def column(self, name: str) -> Array:
        """Return a column of numbers `(K,)`."""
        return np.asarray(self.values(name, axes=1)[:])

    @guarded
    def start(self, name: str) -> tuple[float, float]:
        """Return a number and its attribute `rate`: when a series begins, and its samples a second; NaN if none."""
        found = self.find(name)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.shape != ():
            return float("nan"), float("nan")
        rate = np.asarray(found.attrs.get("rate", np.nan))
        return float(found[()]), float(rate.ravel()[0]) if rate.dtype.kind in "fiu" and rate.size else float("nan")

    @guarded
    def texts(self, name: str) -> list[str]:
        """Return a column of texts, or of numbers written out."""
        found = self.find(name)
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "fiub":
            return [str(value) for value in self.column(name)]
        kind = h5py.check_string_dtype(found.dtype) if isinstance(found, h5py.Dataset) else None
        if kind is None or found.shape is None or len(found.shape) != 1 or found.shape[0] > TEXTS:
            raise InputError(f"{self.path}:{name}: expected a column of texts, got {_what(found)}; name another column")
        try:
            return [str(value) for value in found.asstr(errors="replace")[:]]
        except BROKEN as error:
            raise InputError(f"{self.path}:{name}: expected readable texts, got {error}; copy it again") from error


def open_hdf5(path: Path) -> Hdf5:
    """Open a file to read; raises InputError where it is none of HDF5."""
    try:
        return Hdf5(path, h5py.File(path, "r"))
    except BROKEN as error:
        raise InputError(f"{path}: expected an HDF5 file, got {error}; copy it again") from error


def is_hdf5(path: Path) -> bool:
    """Return whether a file begins as HDF5 files do."""
    try:
        return path.is_file() and bool(h5py.is_hdf5(path))
    except OSError:
        return False


def _what(found: Any) -> str:
    if found is None:
        return "nothing"
    return f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "a group"
