"""Missing responses: the padding that ends a trial, neurons with NaN inside trials, and trials without responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.data.layout import LARGEST, MAX_FRAMES, Array, largest, load_array, not_finite, padded_from
from recon.data.unit_ids import Ids
from recon.errors import InputError

NAMED = 8
"""Neurons named in one sentence."""


@dataclass(frozen=True)
class MaskedNeurons:
    """Neurons with NaN inside a trial: `rows` of the files with NaN by trial, among `count` neurons in `trials` trials.

    A neuron with NaN in any trial is left out of the whole recording, so that all trials have the same neurons and no
    fit, training or score meets a value that was not recorded.
    """

    count: int
    trials: int
    rows: Mapping[int, tuple[int, ...]]

    @property
    def masked(self) -> Array:
        """Rows `(M,)` of the masked neurons, ascending."""
        return np.array(sorted({row for rows in self.rows.values() for row in rows}), dtype=np.int64)

    @property
    def kept(self) -> Array | slice:
        """Rows `(N,)` of the neurons of the recording, ascending; a slice of all where none is masked."""
        return np.setdiff1d(np.arange(self.count), self.masked) if self.rows else slice(None)

    def known_ids(self, unit_ids: Sequence[int], where: Path | str) -> tuple[int, ...]:
        """Return the unit ids of the neurons that are not masked; raises InputError if there are none."""
        masked = set(self.masked.tolist())
        if len(masked) == self.count:
            raise InputError(
                f"{where}: expected neurons that were recorded in every trial, got NaN in some trial for each of "
                f"{self.count} (first: {self._one(0, unit_ids)}); leave such trials out (tier 'none') or fill the gaps"
            )
        return tuple(unit for row, unit in enumerate(unit_ids) if row not in masked)

    def named(self, unit_ids: Ids) -> str:
        """Return the masked neurons in words; `unit_ids` are those of all rows."""
        masked = self.masked.tolist()
        shown = [self._one(row, unit_ids) for row in masked[:NAMED]]
        return ", ".join(shown) + (f" and {len(masked) - NAMED} more" if len(masked) > NAMED else "")

    def trials_of(self, row: int) -> int:
        """Return the number of trials in which a row has NaN."""
        return sum(row in rows for rows in self.rows.values())

    def _one(self, row: int, unit_ids: Ids) -> str:
        return f"neuron {row} (unit id {unit_ids[row]}) is NaN in {self.trials_of(row)} of {self.trials} trials"


def rows_with_gaps(responses: Array) -> tuple[int, ...]:
    """Return the rows of responses `(N,T)` with NaN where another neuron was recorded; none for other arrays.

    Frames in which no neuron was recorded are padding, or a gap of the whole recording.

    >>> rows_with_gaps(np.array([[1, np.nan, 2, np.nan], [0, 3, 1, np.nan]]))
    (0,)
    """
    if responses.dtype.kind != "f" or responses.ndim != 2:
        return ()
    cut = responses[:, :MAX_FRAMES]
    with np.errstate(invalid="ignore", over="ignore"):
        rows = np.flatnonzero(np.isnan(cut.sum(1, dtype=np.float64)))
    missing = np.isnan(cut[rows])
    if len(rows) == len(cut):
        missing = missing[:, ~missing.all(0)]
    return tuple(rows[missing.any(1)].tolist())


def valid_frames(arrays: Mapping[Path, Array]) -> int:
    """Return the number of valid frames of a trial with arrays `(...,T)`: padding is NaN in all of them to the end.

    Arrays of whole numbers cannot hold padding. Raises InputError for an array that ends early without padding.
    """
    lengths = {file: min(array.shape[-1], MAX_FRAMES) for file, array in arrays.items()}
    ends = {file: min(padded_from(array), MAX_FRAMES) for file, array in arrays.items() if array.dtype.kind == "f"}
    padded = any(end < lengths[file] for file, end in ends.items())
    expected: int = max(ends.values()) if padded else max(lengths.values())
    for file, length in lengths.items():
        if length < expected:
            raise InputError(
                f"{file}: expected {expected} frames as in the trial's other files, got {length}; "
                "cut all files of a trial alike, or leave it out (tier 'none')"
            )
    if expected == 0:
        raise InputError(f"{min(ends)}: expected valid frames, got only NaN; leave this trial out (tier 'none')")
    return expected


def recorded(file: Path) -> bool:
    """Return whether a file of responses exists and has a value in any neuron; reading ends at the first one."""
    return file.exists() and _some_row(file, lambda row: row.dtype.kind != "f" or not bool(np.isnan(row).all()))


def silent(file: Path) -> bool:
    """Return whether a file of responses has no value but zero (and NaN); reading ends at the first other one."""
    return not _some_row(file, lambda row: bool(np.nan_to_num(row).any()))


def check_responses(array: Array, where: str) -> None:
    """Raise InputError for responses `(N,T)` to be written: infinity, or frames in which no neuron was recorded."""
    if np.isinf(array).any():
        raise InputError(f"{where}: expected finite values, got infinity; repair them")
    gaps = np.flatnonzero(np.isnan(array).all(0))
    if len(gaps):
        raise InputError(
            f"{where}: expected finite values, or NaN in some neurons, got NaN in every neuron at frame {gaps[0]}; cut "
            "the trial there, or leave it out"
        )


def _some_row(file: Path, holds: Callable[[Array], bool]) -> bool:
    array = load_array(file, mapped=True)
    if array.dtype.kind not in "fiu" or array.ndim < 2:
        return True  # reading the trial names the damage
    return any(map(holds, _rows(array)))


def _rows(array: Array) -> Iterable[Array]:
    return iter(array[..., :MAX_FRAMES])


def check_finite(file: Path, array: Array) -> None:
    """Raise InputError for NaN, infinity and impossible magnitudes in an array `(...,T)` of valid frames."""
    wrong = not_finite(array)
    if len(wrong):
        raise InputError(
            f"{file}: expected finite values in the {array.shape[-1]} valid frames, got NaN or infinity at frame "
            f"{wrong[0]}; fill the gap or leave this trial out (tier 'none')"
        )
    found = largest(array)
    if found > LARGEST:
        raise InputError(
            f"{file}: expected values within ±{LARGEST:g}, got {found:g}; no instrument gives them: repair the file or "
            "leave this trial out (tier 'none')"
        )
