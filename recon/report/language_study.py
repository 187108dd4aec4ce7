"""Reading of a caption study: summary and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.files import read_json
from recon.report.cells import Row, read_table

Part = tuple[str, str, str]
"""A section: title, one-sentence result, figures and tables as HTML."""


@dataclass(frozen=True)
class Study:
    """The folder of a study and the content of its summary."""

    run: Path
    about: Mapping[str, Any]

    @classmethod
    def read(cls, run: Path) -> Study:
        """Return the study in a folder; raises InputError if there is none."""
        path = run / "summary.json"
        if not path.is_file():
            raise InputError(f"{run}: expected a study of captions with summary.json, got none; run `recon language`")
        return cls(run, read_json(path))

    @property
    def names(self) -> list[str]:
        """The captioners, in order."""
        return [str(name) for name in self.about["captioners"]]

    @property
    def favourite(self) -> str:
        """The captioner whose words are analysed."""
        return str(self.about["favourite"])

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table; empty if it does not exist."""
        return read_table(self.run, name)

    def colour(self, row: Row) -> int | str:
        """Return the colour of a row's captioner; other predictors are grey."""
        return self.names.index(row["captioner"]) if row["captioner"] in self.names else "var(--null)"
