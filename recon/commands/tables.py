"""Text tables of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recon.report.cells import Row, number


def table(rows: Sequence[Row], shown: Mapping[str, str], formats: Mapping[str, str]) -> list[str]:
    """Return the lines of a table of CSV rows; `shown` maps columns to titles, absent columns are dropped.

    A column with companions `_low` and `_high` is written with its interval; `formats` gives the format of the others,
    by default the text of the file.
    """
    there = {key: title for key, title in shown.items() if key in rows[0]}
    cells = [list(there.values()), *([_cell(row, key, formats.get(key, "")) for key in there] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(row: Row, key: str, form: str) -> str:
    if not row[key]:
        return "–"
    if f"{key}_low" in row:
        value, low, high = (number(row, name) for name in (key, f"{key}_low", f"{key}_high"))
        return f"{value:.3f} [{low:.3f}, {high:.3f}]"
    return format(number(row, key), form) if form else row[key]
