"""Risk control over clips: the factor by which arms are stretched so that few pixels of a new clip are missed.

Guarantee (Angelopoulos, Bates, Fisch, Lei & Schuster 2024, *Conformal risk control*, theorem 1, with the loss of the
new clip bounded by its own share of a group): let clips be exchangeable, and draw a pixel by drawing a clip and then
one of its scored pixels. For every group g of pixels that is a function of estimates, P(missed | pixel in g) is at most
1 − level, on average over calibration clips and new clip, in finite samples, whatever the errors of a clip share.
Groups may overlap: a pixel takes the largest factor of its groups, which misses no more than each of them asks. The
guarantee is about the average over clips: it does not hold for each clip by itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 1024
SMALLEST, LARGEST = 0.02, 50.0
"""Factors that are tried; where none suffices the interval is the whole range."""


@functools.cache
def factors() -> Tensor:
    """The factors `[J]` that are tried, rising by 0.8 % each; they depend on no data."""
    exponents = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    return SMALLEST * (LARGEST / SMALLEST) ** exponents


def missed_by(scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fraction `[G,J]` of a clip's pixels in each group and missed by each factor, and `[G]` in it.

    `scores` `[P]`: smallest factor at which a pixel is covered; not finite where none covers it. `groups` `[G,P]`.
    """
    known = torch.nan_to_num(scores.double(), nan=torch.inf, posinf=torch.inf)
    first = torch.searchsorted(factors(), known)  # of the factors that cover
    counts = torch.stack([torch.bincount(first[one], minlength=STEPS + 1) for one in groups]).double()
    within = counts.sum(1)
    return (within[:, None] - counts.cumsum(1)[:, :STEPS]) / len(scores), within / len(scores)


@dataclass(frozen=True)
class Risk:
    """Sums over calibration clips of `missed_by`: `missed` `[G,J]`, `within` `[G]`, and the number of clips."""

    missed: Tensor
    within: Tensor
    clips: int

    def factor(self, level: float, shares: Tensor) -> Tensor:
        """Return the factor `[G]` of each group for a clip with `shares` `[G]` of its pixels in the groups.

        The smallest at which calibration clips and the new one, all of it missed, miss at most 1 − level of a group's
        pixels together; infinite where even the largest does not suffice, as for a group that no clip had.
        """
        rate = 1 - level
        excess = self.missed + (level * shares - rate * self.within)[:, None]
        enough = excess <= 1e-9 * max(self.clips, 1)  # rounding of sums of fractions
        first = STEPS - enough.flip(1).long().cumprod(1).sum(1)
        known = torch.cat([factors(), factors().new_tensor([torch.inf])])
        return known[first]
