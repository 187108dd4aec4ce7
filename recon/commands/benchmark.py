"""`recon benchmark CONFIG`: run a benchmark, print its table, write its page."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place


def add_parser(commands: Commands) -> None:
    """Add `reconstruct` and `benchmark` to the commands; both do the same."""
    for name, about in (("reconstruct", "same as benchmark"), ("benchmark", "run the methods of a YAML file")):
        parser = commands.add_parser(name, help=about, description=about)
        add_configuration(parser, benchmark, planned.benchmark)
        add_place(parser)


def benchmark(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the table and the paths of the results."""
    from recon.config import load
    from recon.report.page import is_current, write_report
    from recon.study.benchmark import benchmark as run_benchmark
    from recon.study.executors.places import place_of

    tree = load(options.config, options.overrides)
    run = run_benchmark(tree, say=write, progress=True, on=place_of(options.on, str(tree.get("device", "auto"))))
    page = run / "report.html" if is_current(run) else write_report(run)
    for line in table(run / "results.csv"):
        write(line)
    write(f"page: {page}")
    write(f"TensorBoard: tensorboard --logdir {run / 'tensorboard'}")


def table(results: Path) -> list[str]:
    """Return the lines of the table of a run's results.csv."""
    from recon.report import summary
    from recon.study.outputs import read_results

    return summary.table(read_results(results))
