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
    export,
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
from recon.commands.completion import SHELLS, PrintCompletion
from recon.commands.usage import CommandParser, parsers_of

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
    export.add_parser,
    runs.add_parser,
    rerun.add_parser,
    listing.add_parser,
)
BEGIN = """recon reconstructs the movie an animal saw from the recorded activity of its visual cortex. Begin with:

  recon benchmark demo       simulate a recording, reconstruct its movies in several ways, write a page
  recon data import FOLDER   make a recording of your own arrays; then `recon data check FOLDER`
  recon init FOLDER          write a configuration for a recording; then `recon benchmark NAME.yaml`

`recon list` names the methods, `recon --help` all commands, `recon COMMAND --help` the options of one.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; parsed options hold that of the command as `parser`."""
    top: argparse.ArgumentParser = CommandParser(
        prog="recon", description="Reconstruct the movie an animal saw from brain activity."
    )
    top.set_defaults(computes=False)
    top.add_argument("--version", action="version", version=f"recon {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    about = f"write the script of a shell that completes commands ({', '.join(SHELLS)})"
    top.add_argument("--print-completion", action=PrintCompletion, choices=SHELLS, metavar="SHELL", help=about)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for add_parser in PARSERS:
        add_parser(commands)
    for each in parsers_of(top):
        each.set_defaults(parser=each)
    return top
