"""Variables of MATLAB files, old (scipy) and 7.3 (HDF5): numbers in MATLAB's shape, characters and cells as texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from recon.data.hdf5 import BROKEN, TEXTS, Hdf5, Values
from recon.data.hdf5_storage import referred
from recon.data.layout import Array
from recon.errors import InputError

CLASS, EMPTY, SPARSE, OBJECT = "MATLAB_class", "MATLAB_empty", "MATLAB_sparse", "MATLAB_object_decode"
"""Attributes that MATLAB writes beside every variable of a 7.3 file."""
INTERNAL = "#"
"""First letter of the groups in which MATLAB keeps the contents of cells and objects."""
NUMBERS = ("", "double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


class Reversed:
    """A dataset with all axes in reverse, read in parts: MATLAB stores the first axis first, HDF5 the last."""

    def __init__(self, stored: Values) -> None:
        self.stored, self.shape = stored, stored.shape[::-1]

    def __getitem__(self, index: Any) -> Array:
        """Return a part, indexed in MATLAB's order of axes by numbers, slices, an ellipsis or one increasing list."""
        given = list(index) if isinstance(index, tuple) else [index]
        missing = [slice(None)] * (len(self.shape) - sum(each is not Ellipsis for each in given))
        place = next((i for i, each in enumerate(given) if each is Ellipsis), len(given))
        whole = [*given[:place], *missing, *given[place + 1 :]]
        turned: Array = self.stored[tuple(whole[::-1])].T
        return turned


def read_matlab_hdf5(opened: Hdf5, key: str) -> Reversed | Array:
    """Return a variable of a MATLAB 7.3 file: numbers, read in parts, or texts; any other is refused by its class."""
    about, name = opened.attributes(key), f"{opened.path}:{key}"
    kind = str(about.get(CLASS, ""))
    if SPARSE in about:
        raise InputError(f"{name}: expected a full array, got a sparse one; save full({key})")
    if opened.kind(key) == "group":
        fields = ", ".join(opened.children(f"{key}/*")[:8])
        raise InputError(
            f"{name}: expected an array of numbers or texts, got a {kind or 'group'}; name one of {fields}"
        )
    if about.get(EMPTY):
        raise _empty(name)
    if kind == "char":
        return np.array(_texts(opened, key))
    if kind == "cell":
        return _cells(opened, key)
    if kind not in NUMBERS or OBJECT in about:
        raise InputError(f"{name}: expected an array of numbers or texts, got a {kind}; {_remedy(kind, key)}")
    if opened.kind(key) == "texts":
        return np.array(opened.texts(key))
    if opened.kind(key) != "numbers":
        raise InputError(f"{name}: expected real numbers, got complex ones or others; save abs({key}) or real({key})")
    return Reversed(opened.values(key))


def checked_variable(name: str, found: Array) -> Array:
    """Return a variable as scipy read it from an older file, its cells as texts; raises InputError for others."""
    if not found.size:
        raise _empty(name)
    if found.dtype.kind == "c":
        raise InputError(f"{name}: expected real numbers, got complex ones; save their absolute or real values")
    if found.dtype.kind != "O":
        return found
    cells = [np.asarray(each) for each in found.ravel()]
    if any(each.size > 1 or each.dtype.kind != "U" for each in cells):
        raise _no_texts(name)
    return np.array(["".join(each.ravel()) for each in cells]).reshape(found.shape)


def _cells(opened: Hdf5, key: str) -> Array:
    """Return a cell array of texts in MATLAB's shape."""
    name, found = f"{opened.path}:{key}", opened.find(key)
    if found.dtype.kind != "O" or found.size > TEXTS:
        raise InputError(f"{name}: expected at most {TEXTS} cells, got {found.dtype} {found.shape}; save a matrix")
    try:
        names = referred(found)
    except BROKEN as error:
        raise InputError(f"{name}: expected readable cells, got {error}; copy the file again") from error
    texts = [_texts(opened, each) for each in names]
    if any(len(each) != 1 for each in texts):
        raise _no_texts(name)
    flat = np.array([each[0] for each in texts])
    turned: Array = flat.reshape(found.shape).T
    return turned


def _texts(opened: Hdf5, key: str) -> list[str]:
    """Return the rows of a character array, none for other classes."""
    about = opened.attributes(key)
    if about.get(CLASS) != "char":
        return []
    if about.get(EMPTY):
        return [""]
    rows = opened.whole(key, axes=2).T
    return [row.astype("<u2").tobytes().decode("utf-16-le", "replace") for row in rows]


def _empty(name: str) -> InputError:
    return InputError(f"{name}: expected values, got an empty array; name another variable")


def _no_texts(name: str) -> InputError:
    return InputError(f"{name}: expected a cell array of texts, got cells of others; save one matrix, as by cell2mat")


def _remedy(kind: str, key: str) -> str:
    return f"save cellstr({key})" if kind in ("string", "categorical") else f"save its numbers, as by double({key})"
