"""Plain arrays for import (.npy, .npy.gz, .npz, .mat, .h5 or in memory), read in pieces with named axes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recon.data.hdf5 import open_hdf5
from recon.data.layout import Array, load_array
from recon.data.matlab import CLASS, INTERNAL, checked_variable, read_matlab_hdf5
from recon.data.packed import read_archived, read_gzipped, read_matlab
from recon.errors import InputError
from recon.files.paths import named_part

ArrayLike = str | Path | Array
"""An array, or the path of one: `movie.npy`, `spikes.npy.gz`, `all.npz:movie`, `session.h5:stimulus/movie`, .mat."""


class Stored(Protocol):
    """Common interface of numpy arrays, memory maps and HDF5 datasets."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any) -> Any: ...


@dataclass(frozen=True)
class ArraySource:
    """A stored array with one letter per axis: r trials, t frames, h rows, w columns, c colours, n channels (neurons).

    With `bits` (two sizes), the last stored axis is packed bits, 8 pixels per byte (numpy.packbits), and represents
    the last two letters of `axes`.
    """

    name: str
    stored: Stored
    axes: str
    bits: tuple[int, int] | None = None

    def size(self, axis: str) -> int:
        """Return the length of an axis; 1 for a missing trial axis."""
        shape = self.stored.shape if self.bits is None else (*self.stored.shape[:-1], *self.bits)
        return int(shape[self.axes.index(axis)]) if axis in self.axes else 1

    def read(self, trial: int, span: tuple[int, int], order: str) -> Array:
        """Return frames `span` [first, end) of a trial with the axes in `order`, for example "thw"."""
        pick = {"r": trial, "t": slice(*span)}
        stored_axes = self.axes if self.bits is None else self.axes[:-1]
        piece = np.asarray(self.stored[tuple(pick.get(axis, slice(None)) for axis in stored_axes)])
        if self.bits is not None:
            flat = np.unpackbits(piece, axis=-1)[..., : self.bits[0] * self.bits[1]]
            piece = flat.reshape(*flat.shape[:-1], *self.bits)
        left = self.axes.replace("r", "")
        return piece.transpose([left.index(axis) for axis in order])


def open_source(
    name: str, value: ArrayLike, *, axes: str, stack: ExitStack, bits: tuple[int, int] | None = None
) -> ArraySource:
    """Open an array for import; files stay open until `stack` closes."""
    return with_axes(name, open_stored(value, stack), axes, bits)


def with_axes(name: str, stored: Stored, axes: str, bits: tuple[int, int] | None = None) -> ArraySource:
    """Return a stored array with named axes; raises InputError for another number of axes."""
    expected = len(axes) - (bits is not None)
    if expected == 1 and len(stored.shape) == 2 and 1 in stored.shape:
        stored = np.ravel(np.asarray(stored[...]))  # MATLAB knows no vectors
    if len(stored.shape) != expected:
        raise InputError(
            f"{name}: expected {expected} axes ({axes}), got shape {tuple(stored.shape)}; "
            "say which axis is which (r trials, t frames, h rows, w columns, c colours, n channels)"
        )
    if bits is not None and not -7 <= bits[0] * bits[1] - 8 * stored.shape[-1] <= 0:
        raise InputError(f"{name}: expected {bits[0]}×{bits[1]} pixels in packed bits, got {8 * stored.shape[-1]} bits")
    return ArraySource(name, stored, axes, bits)


def open_stored(value: ArrayLike, stack: ExitStack) -> Stored:
    """Return an array in memory as it is, or open the file of a path; it stays open until `stack` closes."""
    return _open(str(value), stack) if isinstance(value, str | Path) else np.asarray(value)


def read_array(value: str) -> Array:
    """Return a whole array from a file: `spikes.npy`, `all.npz:spikes`, `session.mat:act`."""
    with ExitStack() as stack:
        return np.asarray(_open(value, stack)[...])


def _open(value: str, stack: ExitStack) -> Stored:
    file, key = named_part(value)
    if not file.is_file():
        raise InputError(f"{file}: expected an array file, got none; check the path")
    if file.suffix == ".mat" and _begins(file, b"MATLAB 5.0"):
        return checked_variable(value, read_matlab(file, key))
    if file.suffix in (".h5", ".hdf5", ".nwb", ".mat"):
        return _open_hdf5(file, key, stack)
    if file.suffix == ".gz":
        return read_gzipped(file)
    if file.suffix == ".npz":
        return read_archived(file, key)
    if file.suffix == ".npy":
        return load_array(file, mapped=True)
    raise InputError(f"{file}: expected .npy, .npy.gz, .npz, .mat or .h5, got {file.suffix or 'no suffix'}; convert it")


def _begins(file: Path, mark: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(mark)) == mark


def _open_hdf5(file: Path, key: str, stack: ExitStack) -> Stored:
    """Return a numeric dataset, read in slices, or texts; links to other files are refused.

    Variables of MATLAB files (7.3) have MATLAB's shape, whatever the file is called.
    """
    opened = open_hdf5(file)
    stack.callback(opened.file.close)
    names = [name for name in opened.children("*") if not name.startswith(INTERNAL)]
    key = names[0] if not key and len(names) == 1 else key
    kind = opened.kind(key)
    if not kind:
        raise InputError(f"{file}: expected FILE:NAME with one of {names}, got {key or 'no name'}; add it")
    if file.suffix == ".mat" or CLASS in opened.attributes(key):
        return read_matlab_hdf5(opened, key)
    if kind == "group":
        raise InputError(f"{file}: expected a data set, got the group {key!r}; name the data set after the colon")
    return np.array(opened.texts(key)) if kind == "texts" else opened.values(key)
