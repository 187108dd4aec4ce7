"""Parser of the command line: lists the modules of the commands in the order of the help."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon import __version__
from recon.commands import (
    ablate,
    benchmark,
    captions,
    data,
    encoders,
    identify,
    init,
    language,
    listing,
    mapping,
    report,
    rerun,
    runs,
    sample,
    simulate,
    train,
    tune,
)
from recon.commands.arguments import Commands

PARSERS: tuple[Callable[[Commands], None], ...] = (
    data.add_parser,
    simulate.add_parser,
    train.add_parser,
    encoders.add_parser,
    mapping.add_parser,
    init.add_parser,
    benchmark.add_parser,
    ablate.add_parser,
    tune.add_parser,
    identify.add_parser,
    language.add_parser,
    captions.add_parser,
    sample.add_parser,
    report.add_parser,
    runs.add_parser,
    rerun.add_parser,
    listing.add_parser,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="recon", description="Reconstruct the movie an animal saw from brain activity.")
    top.set_defaults(computes=False)
    top.add_argument("--version", action="version", version=f"recon {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add_parser in PARSERS:
        add_parser(commands)
    return top
