"""Ids of neurons: whole numbers inside; texts are numbered, and kept beside the numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.layout import Array, load_array
from recon.errors import InputError

UNIT_IDS, NAMES = Path("meta/neurons/unit_ids.npy"), Path("meta/neurons/names.npy")
MOST = 2**63
PLAIN = r"0|[1-9][0-9]{0,18}"
"""A whole number as a text."""
Ids = Sequence[int] | Sequence[str]
"""Ids as a source has them: whole numbers, or texts."""


@dataclass(frozen=True)
class UnitIds:
    """Numbers `(N,)` of neurons, each once, and their names `(N,)`, empty where the ids are numbers.

    `complaint` is the error that a check reports in its place: the ids are then 0, 1, …
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...] = ()
    complaint: str = ""

    @property
    def notes(self) -> list[str]:
        """A sentence where the ids are texts."""
        if not self.names:
            return []
        last, name = len(self.names) - 1, self.names[0]
        return [f"unit ids are texts ({name}, …): neurons are numbered 0–{last}, their ids are kept in {NAMES}"]


def numbered(ids: Ids | Array, *, where: str) -> UnitIds:
    """Return the ids of neurons as whole numbers; texts that are no numbers are numbered in their order.

    Raises InputError, naming `where`, for other ids and for an id that comes twice.

    >>> numbered(["cell_12", "cell_7"], where="ids").numbers, numbered(["517", "400"], where="ids").numbers
    ((0, 1), (517, 400))
    """
    array = np.asarray(ids)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iufUSO":
        raise InputError(
            f"{where}: expected whole numbers or texts of shape (N,), got {array.dtype} {array.shape}; number them"
        )
    found = _numbers(array, where) if array.dtype.kind in "iuf" else _texts(array)
    _check_once(found.names or found.numbers, where)
    return found


def recorded_ids(folder: Path, *, lenient: bool = False) -> UnitIds:
    """Return the ids of a recording's neurons, with the names that a conversion kept.

    `lenient`: a list of ids that cannot be used is complained of, not raised, so that a check sees the rest.
    """
    ids = load_array(folder / UNIT_IDS)
    try:
        found = numbered(ids, where=str(folder / UNIT_IDS))
    except InputError as error:
        if not lenient or ids.ndim != 1 or not len(ids):
            raise
        return UnitIds(tuple(range(len(ids))), complaint=str(error))
    names = load_array(folder / NAMES) if (folder / NAMES).is_file() else np.array(found.names)
    if names.shape not in ((0,), (len(found.numbers),)) or (names.dtype.kind not in "US" and len(names)):
        raise InputError(
            f"{folder / NAMES}: expected a text for each of {len(found.numbers)} neurons, got {names.dtype} "
            f"{names.shape}; delete this optional file"
        )
    return UnitIds(found.numbers, tuple(map(_text, names.tolist())))


def _numbers(array: Array, where: str) -> UnitIds:
    wrong = [value for value in array.tolist() if not (-MOST <= value < MOST and value == int(value))]
    if wrong:
        raise InputError(f"{where}: expected whole numbers below 2**63, got {wrong[0]}; number the neurons")
    return UnitIds(tuple(map(int, array.tolist())))


def _texts(array: Array) -> UnitIds:
    names = tuple(map(_text, array.tolist()))
    numbers = [int(name) for name in names if re.fullmatch(PLAIN, name)]
    if len(numbers) == len(names) and max(numbers) < MOST:
        return UnitIds(tuple(numbers))
    return UnitIds(tuple(range(len(names))), names)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _check_once(ids: Sequence[int] | Sequence[str], where: str) -> None:
    twice = [str(one) for one, count in Counter(ids).items() if count > 1]
    if twice:
        more = ", …" if len(twice) > 5 else ""
        raise InputError(
            f"{where}: expected every id once, got {', '.join(twice[:5])}{more} several times; correct the ids, or "
            "number the neurons"
        )
