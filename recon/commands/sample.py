"""`recon sample CONFIG`: what a prior takes for movies."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.analysis.prior_samples import sample as draw_samples
from recon.config import load


def sample(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Draw as the configuration says, and say where clips and pictures are."""
    folder = draw_samples(load(options.config, options.overrides))
    write(f"clips: {folder / 'samples.h5'}; film strips and GIFs, numbered as the captions, beside it")
    write(f"picture: {folder / 'samples.png'}")
