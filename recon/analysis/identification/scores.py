"""Identification accuracy with chance level and confidence interval, and the table columns for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from recon.metrics.identification import rank, top
from recon.metrics.statistics import bootstrap_interval

IDENTIFICATION = "identification"
"""Kind of a folder with results of identification."""
TASKS = ("decoding", "encoding")
"""Decoding: stimulus given a response. Encoding: response given a stimulus."""
SCORED = ("candidates", "top1", "top1_low", "top1_high", "top5", "median_rank", "chance_top1", "chance_top5")
"""Columns filled by `scores`."""


def scores(tables: Sequence[Tensor], size: int, *, together: int, seeds: int = 1) -> dict[str, Any]:
    """Return accuracy and rank in sets of `size` candidates, from similarity matrices `[Q,M]` of equal size.

    The interval of top-1 accuracy is a bootstrap over blocks of `together` consecutive queries. Tables of several
    training `seeds`, ordered by seed, are averaged per query before the bootstrap.
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
