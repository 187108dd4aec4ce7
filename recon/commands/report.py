"""`recon report RUN`: rewrite the page of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.errors import InputError
from recon.report.heatmaps import write_heatmaps
from recon.report.page import write_report
from recon.report.strips import write_strip
from recon.report.tables import markdown


def report(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write report.html to the run's folder, print the table of results, or draw a film strip or heat maps."""
    for run in options.run:
        if not run.is_dir():
            raise InputError(f"run: expected the folder of a run, got {run}, which does not exist; check the path")
    if options.markdown:
        results = [run / "results.csv" for run in options.run]
        return write(markdown(*results, baseline=options.baseline).rstrip())
    if len(options.run) > 1:
        raise InputError(f"run: expected one folder, got {len(options.run)}; several are allowed with --markdown only")
    (run,) = options.run
    if options.heatmap is not None:
        return write(f"picture: {write_heatmaps(run, options.heatmap)}")
    if options.strip is not None:
        chosen = {"methods": options.methods or (), "clips": options.clips, "count": options.frames}
        return write(f"picture: {write_strip(run, options.strip, **chosen)}")
    return write(f"page: {write_report(run)}")
