"""`recon report RUN`: write the page of a run again."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.report import write_report
from recon.tables import markdown


def report(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write report.html into the run's folder, or print the table of its results."""
    if not options.run.is_dir():
        raise ValueError(f"run: expected the folder of a run, got {options.run}, which is not there; check the path")
    if options.markdown:
        return write(markdown(options.run / "results.csv", baseline=options.baseline).rstrip())
    return write(f"page: {write_report(options.run)}")
