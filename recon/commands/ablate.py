"""`recon ablate CONFIG`: run the ablation of a prior, print its scores and findings, write its page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place
from recon.commands.benchmark import table

if TYPE_CHECKING:
    from recon.study.ablation.numbers import Findings


def add_parser(commands: Commands) -> None:
    """Add `ablate` to the commands."""
    about = "ablate a method's prior, text and activity, and report the contribution of the prior"
    parser = commands.add_parser("ablate", help=about, description=about)
    add_configuration(parser, ablate, planned.ablate)
    add_place(parser)


def ablate(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the contribution of the prior and the paths of the results."""
    from recon.config import load
    from recon.report.page import write_report
    from recon.study.ablation.ablate import ablate as run_ablation
    from recon.study.executors.places import place_of

    tree = load(options.config, options.overrides)
    done = run_ablation(tree, say=write, progress=True, on=place_of(options.on, str(tree.get("device", "auto"))))
    page = write_report(done.run)
    for line in table(done.run / "results.csv"):
        write(line)
    for found in done.found:
        for line in told(found):
            write(line)
    write(f"page: {page}")


def told(found: Findings) -> Iterator[str]:
    """Yield the lines that summarise the findings of an ablation for one score."""
    yield f"by {found.metric}:"
    yield f"  gain of the learnt prior over the Gaussian prior: {found.gain}"
    yield f"  survives without activity, as a fraction of the full method's gain over the mean frame: {found.survives}"
    yield f"  sensitivity to words, decoded minus shuffled captions: {found.sensitivity}"
    yield from (f"  control: {verdict}" for verdict in found.verdicts)
    yield from (f"  WARNING: {warning}" for warning in found.warnings)
