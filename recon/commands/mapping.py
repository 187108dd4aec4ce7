"""`recon map fields CONFIG`: where on the screen an encoder's neurons look."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from tqdm import tqdm

from recon.analysis.receptive_fields import map_fields
from recon.config import load


def fields(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Map as the configuration says, and say how many neurons have a field."""
    numbers, picture = map_fields(load(options.config, options.overrides), progress=_bar)
    with np.load(numbers) as found:
        share = found["share"]
    clear = int((share >= 0.5).sum())
    write(f"fields: {clear} of {len(share)} neurons have a map that a Gaussian explains by half")
    write(f"numbers: {numbers}")
    write(f"picture: {picture}")


def _bar(steps: Iterable[int]) -> Iterable[int]:
    bar: Iterable[int] = tqdm(steps, desc="fields", unit="movie", disable=None)
    return bar
