"""Tables of presentations in NWB 2: columns of numbers, stored as numbers or as text, and their templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from recon.data.formats.allen_stimuli import StimulusTable, template_frames
from recon.data.formats.nwb_series import grey_movie
from recon.data.formats.presentations import frame_numbers, in_order, repeats_of
from recon.data.formats.session import ShownStimulus
from recon.data.formats.stored_units import seconds_in
from recon.data.hdf5 import Hdf5, Values
from recon.data.layout import Array
from recon.errors import InputError

Interval = tuple[float, float, str, str]
"""Start and stop in seconds, content and tier of a row of a table of intervals."""
COLUMNS = (
    "frame",
    "repeat",
    "orientation",
    "spatial_frequency",
    "temporal_frequency",
    "phase",
    "contrast",
    "size",
    "x_position",
    "y_position",
    "color",
    "blank_sweep",
)
"""Columns of numbers that describe stimuli."""
NONE = {"", "null", "none", "n/a", "nan"}
"""Texts, in lower case, for no value."""
TABLE, TEMPLATE = "_presentations", ("_image_stack", "_template")
"""Endings of the names of tables and of templates."""
SAME = ("_more_repeats",)
"""Endings of the names of tables that show the template of the name without them."""


def presentation_tables(file: Hdf5, intervals: Sequence[str], templates: str) -> Iterator[StimulusTable]:
    """Yield the tables at `intervals`, each with the template of its name at `templates`, if there is one."""
    known = {_stem(name, TEMPLATE): name for name in file.children(templates) if file.kind(f"{name}/data") == "numbers"}
    for path in (name for pattern in intervals for name in file.children(pattern)):
        name = _stem(path, (TABLE,))
        template = known.get(name, known.get(_stem(name, SAME), ""))
        yield StimulusTable(
            name,
            time_column(file, f"{path}/start_time"),
            time_column(file, f"{path}/stop_time"),
            _columns(file, path),
            grey_movie(file, f"{template}/data") if template else None,
            mask=_common(file, f"{path}/mask"),
            units=_common(file, f"{path}/units"),
        )


def interval_rows(file: Hdf5, table: str, columns: Sequence[str]) -> list[Interval]:
    """Return (start, stop, content, tier) for every row of a table; `columns` name content and tier, "" for none."""
    starts, stops = (time_column(file, f"{table}/{name}") for name in ("start_time", "stop_time"))
    named = [
        file.texts(f"{table}/{column}") if column and file.find(f"{table}/{column}") is not None else [""] * len(starts)
        for column in columns
    ]
    if len({len(starts), len(stops), *map(len, named)}) != 1:
        raise InputError(f"{file.path}:{table}: expected columns of one length; correct the table")
    return list(zip(starts.tolist(), stops.tolist(), *named, strict=True))


def sorted_intervals(rows: Sequence[Interval], notes: list[str]) -> Iterator[Interval]:
    """Yield the intervals of all tables by time, without duplicates; overlapping ones end where the next begins."""
    labels = {label: number for number, label in enumerate(dict.fromkeys(row[2:] for row in rows))}
    starts, stops = (np.array([row[side] for row in rows]) for side in (0, 1))
    numbers = np.array([labels[row[2:]] for row in rows])
    ordered = in_order(starts, stops, numbers=numbers, about="intervals", notes=notes)
    kept = ordered.distinct()
    together = len(ordered.starts) - len(kept.starts)
    if together:
        notes.append(f"intervals: {together} begin together with another one: of these, one is kept")
    for start, stop, place in zip(kept.starts, kept.stops, kept.places, strict=True):
        yield float(start), float(stop), *rows[place][2:]


def template_repeats(
    file: Hdf5, table: str, movie: Values, *, frame: str, columns: Sequence[str], notes: list[str]
) -> Iterator[ShownStimulus]:
    """Yield the repeats of a template movie from a table with one frame number, column `frame`, per row."""
    facts = interval_rows(file, table, columns)
    numbers = frame_numbers(number_column(file, f"{table}/{frame}"), movie.shape[0], table)
    repeats = number_column(file, f"{table}/repeat") if _is_column(file, f"{table}/repeat") else None
    starts, stops = (np.array([row[side] for row in facts]) for side in (0, 1))
    for rows in repeats_of(in_order(starts, stops, numbers=numbers, about=table, notes=notes, repeats=repeats)):
        content, tier = facts[rows.places[0]][2:]
        end = max(float(rows.stops[-1]), float(rows.starts[-1]) + 1e-3)
        yield ShownStimulus(rows.starts, end, partial(template_frames, movie, rows.numbers), content or table, tier)


def number_column(file: Hdf5, name: str) -> Array:
    """Return a column `(K,)` of numbers or texts as floats: the first number of each entry, NaN for none."""
    if file.kind(name) == "texts":
        return np.array([number_in(text) for text in file.texts(name)], dtype=np.float64)
    values = file.whole(name).astype(np.float64)
    return values.reshape(len(values), -1)[:, 0] if values.ndim else values.reshape(1)


def time_column(file: Hdf5, name: str) -> Array:
    """Return a column of times `(K,)` in seconds; NaN for none."""
    return number_column(file, name) * seconds_in(file, name)


def number_in(text: str) -> float:
    """Return the first number of a text; NaN for none.

    >>> number_in("[250.0, 250.0]"), number_in("0.04"), number_in("null")
    (250.0, 0.04, nan)
    """
    parts = text.strip("[]() ").replace(",", " ").split()
    if not parts or text.strip().lower() in NONE:
        return float("nan")
    try:
        return float(parts[0])
    except ValueError:
        return float("nan")


def _columns(file: Hdf5, path: str) -> dict[str, Array]:
    """Return the columns that have at least one number; raises InputError for columns of another length."""
    found = {name: number_column(file, f"{path}/{name}") for name in COLUMNS if _is_column(file, f"{path}/{name}")}
    count = len(number_column(file, f"{path}/start_time"))
    wrong = [f"{name} {len(values)}" for name, values in found.items() if len(values) != count]
    if wrong:
        raise InputError(
            f"{file.path}:{path}: expected columns of {count} rows, got {', '.join(wrong)}; correct the table"
        )
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _is_column(file: Hdf5, name: str) -> bool:
    return file.kind(name) in ("numbers", "texts")


def _common(file: Hdf5, name: str) -> str:
    """Return the values of a column of texts, each once; "" if there is none."""
    values = file.texts(name) if file.kind(name) == "texts" else []
    return ", ".join(sorted({value for value in values if value.strip().lower() not in NONE}))


def _stem(path: str, endings: Sequence[str]) -> str:
    name = path.rpartition("/")[2]
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)
