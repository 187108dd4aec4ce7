"""`recon tune CONFIG`: tune settings on validation clips."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.config import load
from recon.study.tune import tune as run_tune


def tune(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Run the tuning study of a configuration."""
    run_tune(load(options.config, options.overrides), say=write)
