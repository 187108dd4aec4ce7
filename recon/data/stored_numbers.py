"""What the attributes of an HDF5 dataset say about its numbers: conversion, offset, and values that mean missing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from recon.data.layout import Array

FACTORS, OFFSETS, MISSING = ("conversion", "scale_factor"), ("offset", "add_offset"), ("_FillValue", "missing_value")
"""Attributes of NWB and of netCDF (CF conventions)."""
SCALED = ("unit", *FACTORS, "add_offset")
"""Attributes beside which `offset` is an offset of the numbers; alone it may be anything."""
USER_DEFINED = 2
"""H5D_FILL_VALUE_USER_DEFINED of HDF5, which h5py does not name."""


@dataclass(frozen=True, eq=False)
class StoredScale:
    """Stored numbers x mean x · factor · channels + offset; those equal to one of `missing` are NaN.

    `channels` has one factor per column of the dataset (NWB's `channel_conversion`), or None. With `limits`, results
    are clipped to them.
    """

    factor: float = 1.0
    offset: float = 0.0
    missing: tuple[float, ...] = ()
    channels: Array | None = None
    limits: tuple[float, float] | None = None

    @property
    def rescales(self) -> bool:
        """Whether numbers change, apart from missing ones."""
        return self.factor != 1 or self.offset != 0 or self.channels is not None or self.limits is not None

    @property
    def changes(self) -> bool:
        """Whether any number is read otherwise than it is stored."""
        return self.rescales or bool(self.missing)

    def then(self, factor: float, limits: tuple[float, float]) -> StoredScale:
        """Return this scaling, followed by a factor and limits."""
        return replace(self, factor=self.factor * factor, offset=self.offset * factor, limits=limits)

    @property
    def words(self) -> str:
        """What is done to the stored numbers; "" for nothing."""
        parts = [f"× {self.factor:g}"] * (self.factor != 1) + ["× a factor per channel"] * (self.channels is not None)
        parts += [f"{'−' if self.offset < 0 else '+'} {abs(self.offset):g}"] * (self.offset != 0)
        lost = ["missing where " + " or ".join(f"{value:g}" for value in self.missing)] * bool(self.missing)
        return ", ".join([" ".join(["stored", *parts])] * bool(parts) + lost)

    def apply(self, piece: Array, index: Any, shape: tuple[int, ...]) -> Array:
        """Return the numbers of a piece, read at `index` from a dataset of `shape`; float64 if rescaled."""
        if not self.changes:
            return piece
        lost = np.isin(piece, np.asarray(self.missing)) if self.missing else np.zeros(piece.shape, dtype=bool)
        if not self.rescales:
            return np.where(lost, np.nan, piece) if piece.dtype.kind == "f" or lost.any() else piece
        each = 1.0 if self.channels is None else np.broadcast_to(self.channels, shape)[index]
        numbers = np.where(lost, np.nan, piece.astype(np.float64) * (self.factor * each) + self.offset)
        return numbers if self.limits is None else np.clip(numbers, *self.limits)


def scaling_of(found: h5py.Dataset) -> StoredScale:
    """Return the scaling that the attributes of a numeric dataset state; a conversion of 0 or NaN states none.

    Fill values: those named by `_FillValue` or `missing_value`, for floats also that of HDF5, unless it is 0. Integers
    may hold HDF5's fill value as a number, for example the grey of a screen.
    """
    if found.dtype.kind not in "fiu":
        return StoredScale()
    factors = [_number(found, name) for name in FACTORS]
    factor = math.prod(value for value in factors if value is not None and value != 0)
    shifts = OFFSETS if any(name in found.attrs for name in SCALED) else ()
    offset = sum(value for value in (_number(found, name) for name in shifts) if value is not None)
    return StoredScale(float(factor), float(offset), _missing(found))


def _missing(found: h5py.Dataset) -> tuple[float, ...]:
    stated = [value for value in (_number(found, name) for name in MISSING) if value is not None]
    made = found.id.get_create_plist()
    if found.dtype.kind == "f" and made.fill_value_defined() == USER_DEFINED:
        filled = float(found.fillvalue)
        stated += [filled] if filled and not math.isnan(filled) else []
    # As stored: a fill value of float32 is not its value in float64.
    with np.errstate(over="ignore"):
        kept = {float(np.asarray(value).astype(found.dtype)) for value in stated if _fits(value, found.dtype)}
    return tuple(sorted(kept))


def _fits(value: float, kind: np.dtype[Any]) -> bool:
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return float(value).is_integer() and limits.min <= value <= limits.max


def _number(found: h5py.Dataset, name: str) -> Any:
    """Return an attribute that is one finite number, else None."""
    if name not in found.attrs:
        return None
    about = found.attrs.get_id(name)
    if about.shape is None or math.prod(about.shape) != 1 or about.dtype.kind not in "fiu":
        return None
    value = np.ravel(found.attrs[name])[0]
    return value if np.isfinite(value) else None
