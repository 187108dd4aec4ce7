"""`recon map fields CONFIG`: map the receptive fields of an encoder's neurons."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from tqdm import tqdm

from recon.analysis.receptive_fields import map_fields
from recon.config import load


def fields(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Map receptive fields and print how many neurons have one."""
    numbers, picture = map_fields(load(options.config, options.overrides), progress=_bar)
    with np.load(numbers) as found:
        share = found["share"]
    clear = int((share >= 0.5).sum())
    write(f"fields: for {clear} of {len(share)} neurons a Gaussian explains at least half of the map's variance")
    write(f"numbers: {numbers}")
    write(f"picture: {picture}")


def _bar(steps: Iterable[int]) -> Iterable[int]:
    bar: Iterable[int] = tqdm(steps, desc="fields", unit="movie", disable=None)
    return bar
