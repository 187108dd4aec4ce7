"""`recon tune CONFIG`: tune settings on validation clips."""

from __future__ import annotations

import argparse

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration


def add_parser(commands: Commands) -> None:
    """Add `tune` to the commands."""
    parser = commands.add_parser("tune", help="choose a method's settings on validation clips")
    add_configuration(parser, tune, planned.tune)


def tune(options: argparse.Namespace, write: Write) -> None:
    """Run the tuning study of a configuration."""
    from recon.config import load
    from recon.study.tune import tune as run_tune

    run_tune(load(options.config, options.overrides), say=write)
