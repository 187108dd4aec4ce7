"""How cost grows: with the length of the clip, the number of clips, the members of an ensemble, the neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cases import Case, in_child, iteration
from reporting import report
from sizes import SIZES, say

NARROWEST = 0
RATE = 30
"""Frames per second."""
CLIP = 2 * RATE


def lines(name: str, values: tuple[int, ...], case_of: Callable[[int], Case], methods: tuple[str, ...]) -> list[Any]:
    """Return a row for each value and method, each measured in a process of its own."""
    rows = []
    for method in methods:
        for value in values:
            found = in_child(iteration, case_of(value), method, SIZES.repeats)
            say(f"{method}, {name} {value}: {found['s per iteration']:.3f} s")
            rows.append({"gradient": method, name: value, **found})
    return rows


def test_length(benchmark: Any) -> None:
    """Cost grows linearly with the clip, memory stays flat but for what is as long as the clip."""

    def case_of(seconds: int) -> Case:
        return Case(NARROWEST, 100, RATE * seconds)

    rows = benchmark.pedantic(lines, ("seconds of clip", SIZES.lengths, case_of, ("subclips", "clip")), rounds=1)
    report("length", [row | {"ms per window": 1000 / row["windows per s"]} for row in rows])


@pytest.mark.parametrize(
    ("name", "values", "case_of"),
    [
        ("clips", SIZES.counts, lambda count: Case(NARROWEST, 100, CLIP, clips=count)),
        ("members", SIZES.counts, lambda count: Case(NARROWEST, 100, CLIP, members=count)),
        ("neurons", SIZES.populations, lambda count: Case(NARROWEST, count, CLIP)),
    ],
    ids=["clips", "members", "neurons"],
)
def test_count(name: str, values: tuple[int, ...], case_of: Callable[[int], Case], *, benchmark: Any) -> None:
    """One iteration of the whole clip's gradient and of the sub-clips' on clips of two seconds."""
    report(name, benchmark.pedantic(lines, (name, values, case_of, ("subclips", "clip")), rounds=1))
