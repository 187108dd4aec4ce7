"""A study of captions as it lies on disk: its summary and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.report.cells import Row, read_table

Part = tuple[str, str, str]
"""A section: its title, what it says in one sentence, its figures and tables as HTML."""


@dataclass(frozen=True)
class Study:
    """The folder of a study, and what its summary says of it."""

    run: Path
    about: Mapping[str, Any]

    @classmethod
    def read(cls, run: Path) -> Study:
        """Return the study in a folder; raises InputError where there is none."""
        path = run / "summary.json"
        if not path.is_file():
            raise InputError(f"{run}: expected a study of captions with summary.json, got none; run `recon language`")
        return cls(run, json.loads(path.read_text(encoding="utf-8")))

    @property
    def names(self) -> list[str]:
        """The captioners, in their order."""
        return [str(name) for name in self.about["captioners"]]

    @property
    def favourite(self) -> str:
        """The captioner whose words are looked at."""
        return str(self.about["favourite"])

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table; none where it is not there."""
        return read_table(self.run, name)

    def colour(self, row: Row) -> int | str:
        """Return the colour of a row's captioner; what is none is grey."""
        return self.names.index(row["captioner"]) if row["captioner"] in self.names else "var(--null)"
