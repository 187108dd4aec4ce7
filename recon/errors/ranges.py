"""Ranges of the numbers in configurations: annotations of fields, checked where YAML becomes a record.

A number that is not finite is refused everywhere. An annotation is behaviour: it changes the code version of its class.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

MOST = 2**31 - 1
"""Largest count: larger ones overflow in torch's kernels."""


def _sized(entries: tuple[Any, ...], *, most: int) -> tuple[Any, ...]:
    if not 1 <= len(entries) <= most:
        raise PydanticCustomError("sized", f"1 to {most} entries")
    return entries


Count = Annotated[int, Field(ge=1, le=MOST)]
"""A whole number of things, at least 1."""
Depth = Annotated[int, Field(ge=0, le=1000)]
"""A number of layers: each is a module, so that millions would fill the memory before a shape is compared."""
Whole = Annotated[int, Field(ge=0, le=MOST)]
"""A whole number of at least 0; what 0 means is stated by the record."""
Index = Annotated[int, Field(ge=-MOST, le=MOST)]
"""A whole number of either sign, such as a lag."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A seed that NumPy and torch both take."""
UnitId = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A neuron's number in a recording."""
Folds = Annotated[int, Field(ge=2, le=MOST)]
"""A number of parts to compare with each other, at least 2."""
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, both included."""
Part = Annotated[float, Field(gt=0, le=1)]
"""Above 0, at most 1."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to below 1: what a decay or a dropout may be."""
Some = AfterValidator(partial(_sized, most=1000))
"""For a sequence with at least one entry: `Annotated[tuple[Count, ...], Some]`."""
Levels = AfterValidator(partial(_sized, most=16))
"""For a sequence with one entry per level of a network, each of half the resolution of the previous one."""


def _ordered(region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    top, bottom, left, right = region
    if top >= bottom or left >= right:
        raise PydanticCustomError("region", "first row, end row, first column, end column, each first below its end")
    return region


Region = Annotated[tuple[Whole, Whole, Whole, Whole], AfterValidator(_ordered)]
"""Part of a frame: first row, end row, first column, end column; at least one pixel."""
