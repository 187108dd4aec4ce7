"""`recon encoders convert IN OUT`: convert published weights to safetensors with a card, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon.commands.arguments import Commands, Write


def add_parser(commands: Commands) -> None:
    """Add `encoders convert` to the commands."""
    about = "convert published weights"
    verbs = commands.add_parser("encoders", help=about).add_subparsers(required=True, metavar="WHAT")
    about = "convert a published .pth to .safetensors with a card, or back, without executing pickled code"
    verb = verbs.add_parser("convert", help=about)
    verb.add_argument("source", type=Path, metavar="IN")
    verb.add_argument("target", type=Path, metavar="OUT")
    verb.set_defaults(command=convert)


def convert(options: argparse.Namespace, write: Write) -> None:
    """Write the weights in the format given by the suffix of OUT."""
    from recon.encoders.dwiseneuro import argus_files as argus

    target = argus.convert(options.source, options.target)
    write(f"weights: {target}")
    if target.suffix == ".safetensors":
        write(f"card: {target.with_suffix('.json')}")
