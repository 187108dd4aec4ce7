"""`ComparisonTable`: the table of several methods on the same clips, with its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.encoders.summary import as_rows
from recon.files import write_bytes
from recon.files.paths import user_path
from recon.metrics import ranked
from recon.report.page import is_current, write_report
from recon.report.summary import cells, table
from recon.report.tables import over_seeds
from recon.study.outputs import RESULTS, read_results

if TYPE_CHECKING:
    from pandas import DataFrame

NOTES = "notes"
WORDS = (
    *("recording", "video_id", "method", "encoder", "fidelity", "bins", "condition", "status", "message"),
    *("text", "animals", "pretrained"),
)
WHOLE = ("trial", "seed", "neurons", "iterations")
"""Columns of results.csv that hold text, and those that hold whole numbers."""


@dataclass(frozen=True, repr=False)
class ComparisonTable:
    """The table of a run, one row per method, seed and clip; prints as means over clips with 95 % intervals.

    `run` is the run's folder, `notes` what was said about it, such as methods that are computed anew each time.
    """

    run: Path
    rows: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Path, notes: Sequence[str] = ()) -> ComparisonTable:
        """Return the table of a finished run."""
        return cls(run, tuple(read_results(run / RESULTS)), tuple(notes))

    @property
    def methods(self) -> tuple[str, ...]:
        """Labels of the methods."""
        return tuple(dict.fromkeys(row["method"] for row in self.rows))

    def frame(self) -> DataFrame:
        """Return results.csv as a pandas DataFrame: a row per method, seed and clip; numbers are exact."""
        from pandas import DataFrame

        return DataFrame([{name: _value(name, text) for name, text in row.items()} for row in self.rows])

    def scores(self) -> DataFrame:
        """Return a table of scores: a row per method and clip, averaged over seeds, a column per metric, and the notes.

        An undefined score is NaN and its reason is in the column `notes`; `scores().groupby("method").mean(
        numeric_only=True)` averages over clips.
        """
        from pandas import DataFrame, MultiIndex

        rows = over_seeds(self.rows)
        names = [name for name in (metric.name for metric in ranked()) if any(row.get(name) for row in rows)]
        places = MultiIndex.from_tuples([(row["method"], int(row["trial"])) for row in rows], names=["method", "trial"])
        cells = [{**{name: _value(name, row[name]) for name in names}, NOTES: row["message"]} for row in rows]
        return DataFrame(cells, index=places)

    def page(self, path: Path | str | None = None) -> Path:
        """Write the page of movies, scores and settings and return its path; it needs no network.

        Without `path` it is `report.html` in the run's folder.
        """
        page = self.run / "report.html"
        if not is_current(self.run):
            page = write_report(self.run)
        if path is None:
            return page
        target = user_path(path)
        write_bytes(target, page.read_bytes())
        return target

    @property
    def _failures(self) -> list[str]:
        failed = {row["method"]: row["message"] for row in self.rows if row["status"] == "failed"}
        return [f"{label}: failed, {message}" for label, message in failed.items()]

    def __repr__(self) -> str:
        return "\n".join([*table(self.rows), *self.notes, *self._failures])

    def _repr_html_(self) -> str:
        head, *lines = cells(self.rows)
        return as_rows(head, [*lines, *([line] for line in (*self.notes, *self._failures))])


def _value(name: str, text: str) -> Any:
    """Return a cell of results.csv as text, a truth value or a number; NaN for an empty cell."""
    if name in WORDS:
        return text
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.isdigit() and name in WHOLE else float(text or "nan")
