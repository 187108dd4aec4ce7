"""Groups of pixels within which intervals are valid: functions of the estimate, never of the true movie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.metrics.intervals.features import motion

NAMES = (
    *(f"width, quarter {quarter}" for quarter in (1, 2, 3, 4)),
    *("early frames", "late frames", "dark parts", "bright parts", "still parts", "moving parts"),
)
"""Groups by declared width, time, luminance and motion of the estimate; the pixels of each kind add up to all."""
QUARTERS = 3
"""Number of bounds between quarters of width, the first of the thresholds."""


@dataclass(frozen=True)
class Groups:
    """Thresholds `[5]` of width (between quarters), luminance and motion, from clips that do not calibrate."""

    thresholds: Tensor

    @classmethod
    def between(cls, widths: Tensor, movies: Tensor, motions: Tensor) -> Groups:
        """Return groups of equal size among pixels: quarters of width, halves by luminance and motion, all `[P]`."""
        quarters = torch.quantile(widths, torch.tensor([0.25, 0.5, 0.75], dtype=widths.dtype))
        return cls(torch.cat([quarters, movies.median()[None], motions.median()[None]]))

    def members(self, movie: Tensor, width: Tensor, *, first: int, end: int) -> Tensor:
        """Return the mask `[10,C,T,H,W]` of the groups of an estimate with half-widths `width`, both `[C,T,H,W]`.

        Early and late are the halves of the frames [first, end).
        """
        *quarters, light, speed = self.thresholds
        number = torch.bucketize(width, torch.stack(quarters))
        late = torch.arange(movie.shape[1]) >= (first + end) / 2
        halves = (
            late[:, None, None].expand_as(movie),
            movie > light,
            motion(movie) > speed,
        )
        parts = [number == quarter for quarter in range(QUARTERS + 1)]
        return torch.stack([*parts, *_both(halves)])


def _both(halves: Sequence[Tensor]) -> list[Tensor]:
    return [mask for half in halves for mask in (~half, half)]
