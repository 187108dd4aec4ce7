"""BENCHMARKS.md: tables between markers are rewritten, what was written by hand is kept."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Row = Mapping[str, Any]
NOT_MEASURED = "not measured"


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table; columns in the order of their first appearance, numbers to three digits.

    >>> print(table([{"name": "a", "s": 1.23456}, {"name": "b", "MB": 1234567}]))
    | name | s | MB |
    | --- | --- | --- |
    | a | 1.23 |  |
    | b |  | 1234567 |
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_shown(row.get(name, "")) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def rewritten(page: str, sections: Mapping[str, str]) -> str:
    """Return the page with the text between `<!-- name -->` and `<!-- /name -->` replaced; the rest stays.

    >>> rewritten("by hand <!-- a -->old<!-- /a --> kept", {"a": "new"})
    'by hand <!-- a -->\\nnew\\n<!-- /a --> kept'
    """
    for name, text in sections.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.S)
        if len(pattern.findall(page)) != 1:
            raise ValueError(f"page: expected one pair of markers {start} and {end}, got others; put them back")
        before, after = pattern.split(page)
        page = f"{before}{start}\n{text.strip()}\n{end}{after}"
    return page


def update(target: Path, template: Path, results: Mapping[str, Sequence[Row]], command: str) -> None:
    """Write the tables of a run, each with its command, and what they were measured on, beside the text by hand."""
    where = machine()
    note = f"`{command}`, {where['date']}, {where['device']}, torch {where['torch']}"
    sections = {name: f"{note}\n\n{table(rows)}" for name, rows in results.items()}
    sections["machine"] = table([{"what": name, "": value} for name, value in where.items()])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(rewritten(template.read_text(encoding="utf-8"), sections), encoding="utf-8")


def machine() -> dict[str, str]:
    """Return what was measured on: never a name of the computer."""
    cuda = torch.cuda.is_available()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "CPU": _processor(),
        "cores": f"{os.cpu_count()}, {torch.get_num_threads()} threads used",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "GPU": torch.cuda.get_device_name() if cuda else f"none: every GPU figure is '{NOT_MEASURED}'",
        "device": "GPU" if cuda else "CPU",
        "torch": torch.__version__,
        "Python": platform.python_version(),
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.exists() else None
    return found[1] if found else platform.machine()


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
