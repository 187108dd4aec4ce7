"""The rows of a benchmark for TensorBoard: their settings side by side, and each row in words."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence

from recon.methods.base import passes_of
from recon.problem.clips import Batch
from recon.run.events import plain
from recon.run.hparams import Setup
from recon.study.presets import cost_of, settings_of, training_steps
from recon.study.saw import saw_by
from recon.study.seen import seen_by
from recon.study.shared import Plan

LONGEST = 40
"""Longest text of a column, in characters."""
FLAGS = ("true", "false")
"""Values that are left to the tab TEXT: a column of them compares little."""


def setup_of(entry: Plan, batch: Batch, *, plans: Sequence[Plan], behavior: bool) -> Setup:
    """Return what TensorBoard shows of a row beside its scores; `plans`: all rows, `behavior`: whether it was seen."""
    others = [one for one in plans if one is not entry]
    own, *rest = comparable([values_of(one) for one in (entry, *others)])
    captions = tuple(trial.caption for trial in batch.trials)
    return Setup(own, [own, *rest], "\n".join(described(entry, behavior=behavior)), captions)


def values_of(entry: Plan) -> dict[str, str]:
    """Return the values of a row by column: what it is, and the settings of its method, without those of inner parts.

    Settings of a smoothed method have the names that they have without the smoothing.
    """
    row = entry.row
    fixed = {
        "row": row.label,
        "method": entry.method.title,
        "condition": row.given,
        "words": row.words,
        "fidelity": type(entry.fidelity).__name__,
        "encoders": "+".join(row.encoders),
        "animals": "+".join(row.animals),
        "bins": str(row.bins),
        "data": f"{row.data:g}",
        "seed": str(entry.seed),
    }
    named = ((setting.name.removeprefix("method."), setting.value[:LONGEST]) for setting in settings_of(entry.method))
    own = {name: value for name, value in named if "." not in name and name != "method" and value not in FLAGS}
    return fixed | {f"method.{name}" if name in fixed else name: value for name, value in own.items()}


def comparable(tables: Sequence[Mapping[str, str]]) -> list[dict[str, float | str]]:
    """Return rows with `row`, `method` and the columns that two rows have and in which two rows differ.

    A column holds numbers where it holds no text.

    >>> comparable([{"row": "a", "beta": "0.1", "seed": "0"}, {"row": "b", "beta": "1.0", "seed": "0"}])
    [{'row': 'a', 'beta': 0.1}, {'row': 'b', 'beta': 1.0}]
    """
    names = dict.fromkeys(name for table in tables for name in table)
    columns = {name: [table.get(name) for table in tables] for name in names}
    kept = {name: values for name, values in columns.items() if name in ("row", "method") or _differ(values)}
    typed = {name: _typed(values) for name, values in kept.items()}
    return [
        {name: value for name, values in typed.items() if (value := values[place]) is not None}
        for place in range(len(tables))
    ]


def _differ(values: Sequence[str | None]) -> bool:
    known = [value for value in values if value not in (None, "null")]
    return len(known) > 1 and len(set(known)) > 1


def _typed(values: Sequence[str | None]) -> list[float | str | None]:
    numbers = [None if value is None else _number(value) for value in values]
    if any(value is not None and number is None for value, number in zip(values, numbers, strict=True)):
        return list(values)
    return list(numbers)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def described(entry: Plan, *, behavior: bool) -> Iterator[str]:
    """Yield a row in Markdown: method, what it saw, cost, and its settings as a table."""
    method, row = entry.method, entry.row
    sentence = (inspect.getdoc(type(method)) or "").partition("\n")[0]
    yield f"**{plain(row.label)}**: {plain(sentence)}\n"
    yield f"- {plain(seen_by(saw_by(method, row, behavior=behavior)))}"
    yield f"- {plain(cost_of(passes_of(method), training_steps(method)))}"
    posed = f"condition {row.given}, fidelity {type(entry.fidelity).__name__}, seed {entry.seed}"
    yield f"- {plain(posed)}\n"
    yield "| setting | value | default |\n|---|---|---|"
    for setting in settings_of(method):
        default = "" if setting.default is None or not setting.changed else plain(setting.default)
        yield f"| {plain(setting.name)} | {plain(setting.value)} | {default} |"
