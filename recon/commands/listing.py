"""`recon list`: the methods, encoders, priors and other entries that a configuration can name."""

from __future__ import annotations

import argparse

from recon.commands.arguments import Commands, Write


def add_parser(commands: Commands) -> None:
    """Add `list` to the commands."""
    parser = commands.add_parser(
        "list", help="list the methods, encoders, priors, texts, fidelities, optimisers and metrics"
    )
    parser.set_defaults(command=listing)


def listing(options: argparse.Namespace, write: Write) -> None:
    """Write the names of each kind, each with a one-sentence description."""
    from recon.config import listing as entries

    kind = ""
    for current, name, about in entries():
        if current != kind:
            write(f"{current}s" if current != "fidelity" else "fidelities")
            kind = current
        write(f"  {name:28} {about}")
