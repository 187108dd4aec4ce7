"""`recon ablate CONFIG`: run the ablation of a prior or of its text, print scores and findings, write the page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place
from recon.commands.benchmark import table
from recon.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from recon.study.executors.places import Place


def add_parser(commands: Commands) -> None:
    """Add `ablate` to the commands."""
    about = "ablate a method's prior, text and activity, and report the contribution of the prior, or of its text"
    parser = commands.add_parser("ablate", help=about, description=about)
    add_configuration(parser, ablate, planned.ablate, adjusted=with_text)
    typed = "tell the prior this sentence, in place of captions decoded from the activity"
    parser.add_argument("--typed", metavar="TEXT", help=typed)
    add_place(parser)


def with_text(tree: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return a configuration with the sentence of `--typed`."""
    if options.typed is None or "ablation" not in tree:
        if options.typed is not None and "words" in tree:
            raise InputError("--typed: expected a configuration with `ablation`, got one with `words`; leave it out")
        return tree
    return {**tree, "ablation": {**tree["ablation"], "typed": options.typed, "text": "typed"}}


def ablate(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the contribution of the prior, or of its text, and the paths of the results."""
    from recon.config import load
    from recon.report.page import write_report
    from recon.study.executors.places import place_of

    tree = with_text(load(options.config, options.overrides), options)
    on = place_of(options.on, str(tree.get("device", "auto")))
    run, found = (_words if "words" in tree else _ablation)(tree, write, on)
    page = write_report(run)
    for line in (*table(run / "results.csv"), *found):
        write(line)
    write(f"page: {page}")


def _ablation(tree: dict[str, Any], write: Write, on: Place) -> tuple[Path, Iterator[str]]:
    from recon.report.summary import told
    from recon.study.ablation.ablate import ablate as run_ablation

    done = run_ablation(tree, say=write, progress=True, on=on)
    return done.run, (line for found in done.found for line in told(found))


def _words(tree: dict[str, Any], write: Write, on: Place) -> tuple[Path, Iterator[str]]:
    from recon.analysis.worth.study import study_words
    from recon.report.words import lines

    done = study_words(tree, say=write, progress=True, on=on)
    return done.run, lines(done)
