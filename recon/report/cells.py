"""Reading and formatting of a run's tables: numbers with intervals, HTML tables, sections of a static page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from recon.files import read_table as read_csv
from recon.study.outputs import RESULTS, read_results

Row = Mapping[str, str]


def read_table(run: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of NAME.csv of a run; empty if the file does not exist."""
    path = run / f"{name}.csv"
    if not path.exists():
        return []
    return read_results(path) if path.name == RESULTS else read_csv(path)


def number(row: Row, key: str, missing: float = math.nan) -> float:
    """Return a number of a row, or `missing` for an empty field."""
    return float(row[key]) if row.get(key) else missing


def plain(row: Row, key: str, form: str = ".3f") -> str:
    """Format a number of a row, with a true minus sign; an undefined one is a dash.

    >>> plain({"r": "-0.25"}, "r"), plain({"r": ""}, "r")
    ('−0.250', '–')
    """
    value = number(row, key)
    return "–" if math.isnan(value) else format(value, form).replace("-", "−")


def percent(row: Row, key: str) -> str:
    """Format a fraction of a row in per cent; an undefined one is a dash."""
    value = number(row, key)
    return "–" if math.isnan(value) else f"{value:.0%}"


def interval(row: Row, key: str, low: str = "", high: str = "") -> str:
    """Format a number of a row with its interval.

    >>> interval({"r": "0.5", "r_low": "0.4", "r_high": "0.6"}, "r")
    '0.500 [0.400, 0.600]'
    """
    if math.isnan(number(row, key)):
        return "–"
    return f"{plain(row, key)} [{plain(row, low or f'{key}_low')}, {plain(row, high or f'{key}_high')}]"


def grid(heads: Sequence[str], body: Sequence[Sequence[str]], *, wide: bool = False) -> str:
    """Return an HTML table with escaped cells; `wide` is for cells that contain sentences.

    >>> grid(["a"], [["<b>"]]).split("<tbody>")[1]
    '<tr><th scope="row">&lt;b&gt;</th></tr></tbody></table></div>'
    """
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    lines = "".join(f"<tr>{_cells(row)}</tr>" for row in body)
    kind = "grid wide" if wide else "grid"
    return f"<div class='{kind}'><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def _cells(row: Sequence[str]) -> str:
    if not row:
        return ""
    lead, *others = (html.escape(str(cell)) for cell in row)
    return f'<th scope="row">{lead}</th>' + "".join(f"<td>{cell}</td>" for cell in others)


def section(title: str, says: str, body: str) -> str:
    """Return a section of a page: title, one-sentence result, and figures and tables as HTML."""
    return f"<section><h2>{html.escape(title)}</h2><p class='reading'>{html.escape(says)}</p>{body}</section>"
