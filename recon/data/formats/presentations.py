"""Presentations from the rows of stimulus tables: sorted by time, broken only where time or frame order breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recon.data.formats.session import LONGEST
from recon.data.layout import Array
from recon.errors import InputError

BLANK = -1
"""Frame number of a row that shows the mean grey."""
PAUSE, STEPS = 0.5, 10
"""Minimum pause between two presentations of a movie: seconds, and usual steps between its rows."""
BLOCK_PAUSE = 3.0
"""Minimum pause in seconds between two blocks of flashes; shorter ones are grey screens within a block."""
SLACK = 0.1
"""A movie restarts where its frame number returns to the first one, give or take this share of the movie."""
AHEAD = 4
"""Rows after a step back that are searched for the continuation of the movie; if found, the step is no restart."""
LATE = 0.1
"""Minimum overlap with the next row that is told, in durations of a row; below it is jitter of the clock."""


@dataclass(frozen=True)
class TableRows:
    """Rows of a stimulus table in order of time.

    `starts` and `stops` `(K,)` in seconds, frame `numbers` `(K,)` (−1: blank), `places` `(K,)` of the rows in the file,
    and `repeats` `(K,)`, numbers of the repeat, None if the table has none.
    """

    starts: Array
    stops: Array
    numbers: Array
    places: Array
    repeats: Array | None = None

    def __getitem__(self, index: Array) -> TableRows:
        """Return some of the rows, by index or mask."""
        repeats = None if self.repeats is None else self.repeats[index]
        return TableRows(self.starts[index], self.stops[index], self.numbers[index], self.places[index], repeats)

    def distinct(self) -> TableRows:
        """Return the rows that start at different times; of rows that start together, the last."""
        return self[np.diff(self.starts, append=np.inf) > 0]


def in_order(
    starts: Array, stops: Array, *, numbers: Array, about: str, notes: list[str], repeats: Array | None = None
) -> TableRows:
    """Return the rows of a table sorted by time, without duplicates and rows that have no start.

    A row ends where the next begins, at the latest; a row that ends before it begins has the usual duration. Repeat
    numbers are used if all rows of frames have one. `notes` say what was sorted, dropped or mended.
    """
    starts, stops = np.asarray(starts, dtype=np.float64), np.asarray(stops, dtype=np.float64)
    if not len(starts) == len(stops) == len(numbers):
        raise InputError(
            f"{about}: expected columns of one length, got {len(starts)} starts, {len(stops)} stops and "
            f"{len(numbers)} frame numbers; correct the table"
        )
    known = repeats is not None and len(repeats) == len(starts) and bool(np.isfinite(repeats[numbers >= 0]).all())
    rows = TableRows(starts, stops, numbers, np.arange(len(starts)), repeats if known else None)
    rows = _said(rows, np.isfinite(starts), f"{about}: %d rows without a start time are left out", notes)
    back = int((np.diff(rows.starts) < 0).sum())
    if back:
        notes.append(f"{about}: rows are sorted by time; {back} began before the row above")
    rows = rows[np.argsort(rows.starts, kind="stable")]
    rows = _said(rows, _first_of_equal(rows), f"{about}: %d duplicated rows are left out", notes)
    return _ended(rows[_ties_in_frame_order(rows)], about, notes)


def repeats_of(rows: TableRows) -> Iterator[TableRows]:
    """Yield the presentations of a movie, each a run of rows without blanks.

    A new one begins after a pause, after blank rows, and at a new repeat number; without repeat numbers where the frame
    number returns to the beginning. Rows in a wrong order are no restart: soon after them the movie continues.
    """
    shown = np.flatnonzero(rows.numbers >= 0)
    own = rows[shown]
    if len(shown) == 0:
        return
    steps = np.diff(own.starts)
    pause = max(PAUSE, STEPS * float(np.median(steps))) if len(steps) else PAUSE
    broken = (steps > pause) | (np.diff(shown) > 1)
    broken |= np.diff(own.repeats) != 0 if own.repeats is not None else _restarts(own.numbers, broken)
    for run in np.split(np.arange(len(shown)), np.flatnonzero(broken) + 1):
        yield own[run].distinct()


def blocks_of(rows: TableRows) -> Iterator[TableRows]:
    """Yield blocks of flashes, blanks included: runs of rows with pauses of at most `BLOCK_PAUSE`."""
    gaps = rows.starts[1:] - rows.stops[:-1]
    for run in np.split(np.arange(len(rows.starts)), np.flatnonzero(gaps > BLOCK_PAUSE) + 1):
        if len(run):
            yield rows[run].distinct()


def frame_numbers(stored: Array, count: int, about: str) -> Array:
    """Return frame numbers as integers, −1 for blank rows (−1 or NaN); raises InputError for frames that are not there.

    >>> frame_numbers(np.array([0.0, -1.0, np.nan, 2.0]), 3, "scenes").tolist()
    [0, -1, -1, 2]
    """
    stored = np.asarray(stored, dtype=np.float64)
    blank = np.isnan(stored) | (stored == BLANK)
    kept = stored[~blank]
    if not bool(((kept >= 0) & (kept < count) & (kept == np.floor(kept))).all()):
        raise InputError(
            f"{about}: expected frames 0–{count - 1}, −1 for blanks, got {kept.min():g} to {kept.max():g}; "
            "copy the file again"
        )
    return np.where(blank, BLANK, np.nan_to_num(stored)).astype(np.int64)


def _said(rows: TableRows, kept: Array, sentence: str, notes: list[str]) -> TableRows:
    """Return the rows `kept`, and note how many are not."""
    lost = int((~kept).sum())
    if lost:
        notes.append(sentence % lost)
    return rows[kept]


def _first_of_equal(rows: TableRows) -> Array:
    """Return which rows `(K,)` are the first of those with the same start, stop and number."""
    facts = np.stack([rows.starts, np.nan_to_num(rows.stops, nan=-np.inf), rows.numbers.astype(np.float64)])
    first = np.zeros(len(rows.starts), dtype=bool)
    if len(first):
        first[np.unique(facts, axis=1, return_index=True)[1]] = True
    return first


def _ties_in_frame_order(rows: TableRows) -> Array:
    """Return the order `(K,)` in which rows that start together have rising frame numbers.

    Where a movie ends and begins again within one tick of the clock, the order of the file remains.
    """
    order = np.arange(len(rows.starts))
    edges = np.flatnonzero(np.diff(rows.starts, prepend=-np.inf, append=np.inf) > 0)
    for place in np.flatnonzero(np.diff(edges) > 1):
        tied = slice(int(edges[place]), int(edges[place + 1]))
        numbers = rows.numbers[tied]
        if np.ptp(numbers) <= 2 * len(numbers):
            order[tied] = tied.start + np.argsort(numbers, kind="stable")
    return order


def _ended(rows: TableRows, about: str, notes: list[str]) -> TableRows:
    """Return rows that end after they begin and at the latest where the next begins."""
    starts, stops = rows.starts, rows.stops.copy()
    if not len(starts):
        return rows
    wrong = ~(stops >= starts)
    if wrong.any():
        notes.append(f"{about}: {int(wrong.sum())} rows have no end after their start: they last as long as the others")
    if bool((stops[~wrong] - starts[~wrong] > LONGEST).any()):
        raise InputError(
            f"{about}: expected rows of seconds, got one of more than a day; correct the unit of its times"
        )
    lengths, steps = (stops - starts)[~wrong], np.diff(np.unique(starts))
    usual = float(np.median(lengths)) if len(lengths) else float(np.median(steps)) if len(steps) else 0.0
    stops[wrong] = starts[wrong] + usual
    place = np.searchsorted(starts, starts, side="right")
    later = np.append(starts, np.inf)[place]
    late = int((stops - later > LATE * (stops - starts)).sum())
    if late:
        notes.append(f"{about}: {late} rows overlap the next: each ends where the next begins")
    return replace(rows, stops=np.minimum(stops, later))


def _restarts(numbers: Array, broken: Array) -> Array:
    """Return the steps `(K−1,)` at which a movie starts again; `broken` are those where a presentation ends anyway."""
    found = np.zeros(len(numbers) - 1, dtype=bool)
    first, slack = 0, SLACK * float(np.ptp(numbers))
    for step in np.flatnonzero(broken | (np.diff(numbers) < 0)).tolist():
        undone = numbers[step + 2 : step + 2 + AHEAD].max(initial=BLANK) > numbers[step]
        found[step] = not broken[step] and not undone and numbers[step + 1] <= numbers[first] + slack
        if broken[step] or found[step]:
            first = step + 1
    return found
