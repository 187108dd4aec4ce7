"""How much a benchmark's clips look like the clips whose measurement the wrong-clip rows are given.

    python tests/exact/strangers.py configs/table.yaml
    python tests/exact/strangers.py configs/table_films.yaml

Video correlation of each clip with the *true* movie of its stranger, over the scored frames: what the null would reach
if the stranger were reconstructed perfectly. A bound on the null below this cannot be met by any method that is right.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch

from recon import config
from recon.metrics import METRICS
from recon.metrics.statistics import bootstrap_interval
from recon.study.settings import Settings
from recon.study.shared import Bench
from recon.types import stack


def main(path: str, *overrides: str) -> None:
    """Print mean and 95 % interval over the clips of a configuration."""
    settings = config.record(Settings, config.load(path, overrides), where="benchmark")
    values = []
    for batch in Bench(replace(settings, rows=settings.rows[:1]), [], progress=True).batches:
        scored = slice(settings.frames.warmup, batch.frames - settings.frames.tail)
        others = stack(batch.strangers)[0]
        values.append(METRICS["video_correlation"].function(others[:, :, scored], batch.movie[:, :, scored], None))
    every = torch.cat(values).numpy()
    low, high = bootstrap_interval(every, generator=np.random.default_rng(0))
    sys.stdout.write(f"{len(every)} clips: {every.mean():.3f} [{low:.3f}, {high:.3f}]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
