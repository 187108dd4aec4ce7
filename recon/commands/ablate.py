"""`recon ablate CONFIG`: run the ablation of a prior, print its scores and findings, write its page."""

from __future__ import annotations

import argparse
from typing import Any

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place
from recon.commands.benchmark import table


def add_parser(commands: Commands) -> None:
    """Add `ablate` to the commands."""
    about = "ablate a method's prior, text and activity, and report the contribution of the prior"
    parser = commands.add_parser("ablate", help=about, description=about)
    add_configuration(parser, ablate, planned.ablate, adjusted=with_text)
    typed = "tell the prior this sentence, in place of captions decoded from the activity"
    parser.add_argument("--typed", metavar="TEXT", help=typed)
    add_place(parser)


def with_text(tree: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return a configuration with the sentence of `--typed`."""
    if options.typed is None or "ablation" not in tree:
        return tree
    return {**tree, "ablation": {**tree["ablation"], "typed": options.typed, "text": "typed"}}


def ablate(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the contribution of the prior and the paths of the results."""
    from recon.config import load
    from recon.report.page import write_report
    from recon.report.summary import told
    from recon.study.ablation.ablate import ablate as run_ablation
    from recon.study.executors.places import place_of

    tree = with_text(load(options.config, options.overrides), options)
    done = run_ablation(tree, say=write, progress=True, on=place_of(options.on, str(tree.get("device", "auto"))))
    page = write_report(done.run)
    for line in table(done.run / "results.csv"):
        write(line)
    for found in done.found:
        for line in told(found):
            write(line)
    write(f"page: {page}")
