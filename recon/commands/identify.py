"""`recon identify CONFIG`: identify stimuli from responses, and responses from stimuli."""

from __future__ import annotations

import argparse

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration

SHOWN = {
    "approach": "approach",
    "group": "units of",
    "task": "task",
    "images": "images",
    "trained_on": "trained on",
    "seconds": "seconds",
    "candidates": "candidates",
    "top1": "top-1",
    "chance_top1": "chance",
    "top5": "top-5",
    "median_rank": "median rank",
    "top1_by_chance_low": "by chance from",
    "top1_by_chance_high": "to",
    "top1_by_chance_p": "p",
    "near": "top-1 or next to it",
    "near_by_chance_p": "p of that",
    "note": "note",
}
"""Columns of the printed table, where a run has them."""
FORMATS = {"chance_top1": ".3f", "top5": ".3f", "median_rank": ".1f", "near": ".3f"} | {
    name: ".3f" for name in SHOWN if "by_chance" in name
}


def add_parser(commands: Commands) -> None:
    """Add `identify` to the commands."""
    about = "identify held-out segments from responses, and responses from segments"
    add_configuration(commands.add_parser("identify", help=about, description=about), identify, planned.identify)


def identify(options: argparse.Namespace, write: Write) -> None:
    """Run unfinished tasks, then print the table.

    Configurations with `areas` identify segments without stimuli, with `captions` by text, with `towers` static images.
    """
    from recon.analysis.identification.captions import identify_captions
    from recon.analysis.identification.segments import identify_segments
    from recon.analysis.identification.static import identify_static
    from recon.analysis.identification.stimuli import identify as run_identify
    from recon.commands.tables import table
    from recon.config import load
    from recon.report.cells import read_table

    tree = load(options.config, options.overrides)
    if "areas" in tree:
        results = identify_segments(tree, say=write, progress=True)
    elif "captions" in tree:
        results = identify_captions(tree, say=write, progress=True)
    elif "towers" in tree:
        results = identify_static(tree, say=write)
    else:
        results = run_identify(tree, say=write, progress=True)
    for line in table(read_table(results.parent, results.stem), SHOWN, FORMATS):
        write(line)
    write(f"all: {results}")
