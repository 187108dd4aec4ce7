"""How intervals are made: on what base, valid within which groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from recon.errors import InputError
from recon.errors.ranges import Count, Seed

Base = Literal["heads", "draws", "constant"]
LEVEL = 0.9
"""Level of the bounds in tables, files and pages."""
Open = Annotated[float, Field(gt=0, lt=1)]
"""Above 0 and below 1."""


@dataclass(frozen=True)
class CalibrationSettings:
    """Calibration of intervals: the `base` that is scaled, and the `share` of the clips to which it is fitted.

    Bases: "heads", conditional quantiles of the error given features of the estimate, valid within groups too (width,
    time, light, motion); "draws", the standard deviation of a sampler's draws times one temperature; "constant", one
    width everywhere. The last two fit nothing and use all clips for calibration. `hidden`, `steps` and `pixels` (per
    clip) belong to the training of the heads, `seed` to their initialisation and to the division of the clips.
    """

    base: Base = "heads"
    share: Open = 0.4
    hidden: Count = 32
    steps: Count = 400
    pixels: Count = 3000
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"share: expected above 0 and below 1, got {self.share:g}; 0.4 is usual")

    def fitted_clips(self, count: int) -> int:
        """Return how many of `count` clips the base is fitted to; the others calibrate it."""
        return max(round(self.share * count), 1) if self.base == "heads" else 0


def check_count(count: int, settings: CalibrationSettings) -> None:
    """Raise InputError for too few clips: the interval could not be narrower than the whole range."""
    least, wanted = fewest_clips(LEVEL), 1
    while wanted - settings.fitted_clips(wanted) < least:
        wanted += 1
    if count - settings.fitted_clips(count) < least:
        raise InputError(
            f"intervals: expected at least {wanted} calibration clips (200 for intervals that depend little on which), "
            f"got {count}; simulate with calibration_clips, or name more trials"
        )


def fewest_clips(level: float) -> int:
    """Return the fewest calibration clips with which an interval can be narrower than the whole range.

    >>> fewest_clips(0.9), fewest_clips(0.95)
    (9, 19)
    """
    return math.ceil(level / (1 - level) - 1e-9)
