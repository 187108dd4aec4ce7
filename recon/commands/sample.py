"""`recon sample CONFIG`: sample movies from a prior."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.analysis.prior_samples import sample as draw_samples
from recon.config import load


def sample(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Draw samples and print the paths of the clips and pictures."""
    folder = draw_samples(load(options.config, options.overrides))
    write(f"clips: {folder / 'samples.h5'}; film strips and GIFs, numbered like the captions, in the same folder")
    write(f"picture: {folder / 'samples.png'}")
