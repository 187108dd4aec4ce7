"""How large the benchmarks are: quick to see that they run, full for the figures of BENCHMARKS.md."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Sizes:
    """`divide` divides the widths of the published network; the clip has `frames` frames and `neurons` neurons."""

    divide: int = 1
    neurons: int = 7863
    frames: int = 300
    iterations: int = 2
    """The first moves nothing: the published loop throws its gradient away."""
    settings_divide: int = 2
    repeats: int = 3
    lengths: tuple[int, ...] = (2, 10, 60, 300)
    counts: tuple[int, ...] = (1, 2, 4, 8)
    populations: tuple[int, ...] = (100, 1000, 8000)
    spectrum_divide: int = 0
    spectrum_iterations: int = 30
    matrix: int = 4096
    megabytes: int = 512
    quick: bool = False


QUICK = Sizes(
    divide=8,
    neurons=100,
    frames=40,
    settings_divide=8,
    repeats=1,
    lengths=(2, 4),
    counts=(1, 2),
    populations=(100, 300),
    spectrum_iterations=3,
    matrix=512,
    megabytes=32,
    quick=True,
)


def sizes_of(text: str) -> Sizes:
    """Return sizes by words: "quick" or "full", then changes of single numbers, as "full iterations=3 frames=64"."""
    first, *changes = text.split() or ["full"]
    if first not in ("quick", "full"):
        raise ValueError(f"RECON_BENCH: expected quick or full first, got {first!r}; correct it")
    numbers = {entry.name for entry in fields(Sizes) if entry.type == "int"}
    pairs = dict(change.partition("=")[::2] for change in changes)
    wrong = [name for name, value in pairs.items() if name not in numbers or not value.isdecimal()]
    if wrong:
        raise ValueError(f"RECON_BENCH: expected a number for one of {sorted(numbers)}, got {wrong[0]!r}; correct it")
    return replace(QUICK if first == "quick" else Sizes(), **{name: int(value) for name, value in pairs.items()})


SIZES = sizes_of(os.environ.get("RECON_BENCH", "quick"))


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()
