"""How often the right one is found among candidates, with chance and intervals, and the columns that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from recon.metrics.identification import rank, top
from recon.metrics.statistics import bootstrap_interval

TASKS = ("decoding", "encoding")
"""Which stimulus, given a response; which response, given a stimulus."""
SCORED = ("candidates", "top1", "top1_low", "top1_high", "top5", "median_rank", "chance_top1", "chance_top5")
"""Columns that `scores` fills."""


def scores(tables: Sequence[Tensor], size: int, *, together: int, seeds: int = 1) -> dict[str, Any]:
    """Return what a table says about sets of `size` candidates, from similarities `[Q,M]` of equal size.

    The interval of top-1 is a bootstrap over units of `together` queries that follow each other. Tables of the same
    queries, learnt with several `seeds` and one seed after the other, count as one: their mean.
    """
    units = np.concatenate([top(table, size=size) for table in tables]).reshape(seeds, -1, together).mean((0, 2))
    low, high = bootstrap_interval(units, generator=np.random.default_rng(0))
    return {
        "candidates": size,
        "top1": float(units.mean()),
        "top1_low": low,
        "top1_high": high,
        "top5": float(np.mean([top(table, size=size, best=5) for table in tables])),
        "median_rank": float(np.median([rank(table, size=size) for table in tables])),
        "chance_top1": 1 / size,
        "chance_top5": min(1.0, 5 / size),
    }
