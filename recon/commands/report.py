"""`recon report RUN`: write the page of a run again."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.report import write_report


def report(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write report.html into the run's folder."""
    if not options.run.is_dir():
        raise ValueError(f"run: expected the folder of a run, got {options.run}, which is not there; check the path")
    write(f"page: {write_report(options.run)}")
