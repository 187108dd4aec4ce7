"""A part: its cases run one after another, and each figure is on the page as soon as it is there."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu.budget import Budget
from gpu.measure import clear, float32

from recon.files import write_bytes

pages: Any = importlib.import_module("pages")
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "BENCHMARKS.md"
CPU_PAGE = ROOT / "runs" / "benchmarks" / "gpu_cpu.md"
NAMES = ("numbers", "speed", "settings", "prior")
TINY = "CPU: tiny sizes, figures are not comparable"
WAITING, REMARK = "not measured", "remark"

Row = dict[str, Any]
Case = Callable[[], Row]
Write = Callable[[Sequence[Row]], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """Cases by name, and what is computed from all rows so far (ratios to the first one, say)."""

    name: str
    cases: Mapping[str, Case]
    compare: Callable[[Sequence[Row]], Sequence[Row]] = list

    def run(self, device: torch.device, write: Write, say: Say, *, budget: Budget | None = None) -> list[Row]:
        """Run all cases for which there is time and return their rows; they are written after each."""
        time, rows = budget or Budget(), [{"case": name, REMARK: WAITING} for name in self.cases]
        for place, (name, case) in enumerate(self.cases.items()):
            rows[place] = {"case": name} | _attempted(case, device, time)
            write(self.compare(rows))
            say(f"{self.name}: {time.spent:.0f} s: {_line(rows[place])}")
        return rows


def _attempted(case: Case, device: torch.device, budget: Budget) -> Row:
    """Return a case's row, or the reason why there is none; what it left set or held is undone."""
    if not budget.may_start():
        return {REMARK: f"not started after {budget.spent:.0f} s"}
    reason = ""
    try:
        with budget.enforced():
            clear(device)
            float32()
            return case()
    except torch.OutOfMemoryError:
        reason = "out of memory"
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
    finally:
        float32()
    clear(device)  # Outside the handlers, whose tracebacks hold the failed case's tensors.
    return {REMARK: f"failed: {reason}"}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0][:160].replace("|", "/")


def _line(row: Row) -> str:
    """Return a row as one line of text."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
    )


def writer(part: str, device: torch.device, *, page: Path | None = None) -> Write:
    """Return what replaces the part's section of BENCHMARKS.md, or of another page on a CPU, in one step."""
    target = page or (PAGE if device.type == "cuda" else CPU_PAGE)
    note = f"`make gpu PART={part}`, {where(device)}"

    def write(rows: Sequence[Row]) -> None:
        known = target.read_text(encoding="utf-8") if target.exists() else blank()
        section = f"{note}\n\n{pages.table(aligned(rows))}"
        write_bytes(target, pages.rewritten(known, {f"gpu:{part}": section}).encode())

    return write


def aligned(rows: Sequence[Row]) -> list[Row]:
    """Return rows of the same columns, remarks last.

    >>> aligned([{"case": "a", "remark": "failed"}, {"case": "b", "s": 1.0}])[0]
    {'case': 'a', 's': '', 'remark': 'failed'}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = sorted(names, key=lambda name: name == REMARK)
    return [{name: row.get(name, "") for name in columns} for row in rows]


def where(device: torch.device) -> str:
    """Return date, device and torch version; never a name of the computer."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else TINY
    return f"{day}, {name}, torch {torch.__version__}"


def blank() -> str:
    """Return a page with a section for each part and no figures, for runs on a CPU."""
    sections = (f"## {name}\n\n<!-- gpu:{name} -->\n{WAITING}\n<!-- /gpu:{name} -->" for name in NAMES)
    return "\n\n".join((f"# The GPU script on a CPU\n\n{TINY}.", *sections)) + "\n"
