"""`recon map fields CONFIG`: map the receptive fields of an encoder's neurons."""

from __future__ import annotations

import argparse

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration
from recon.commands.progress import bar


def add_parser(commands: Commands) -> None:
    """Add `map fields` to the commands."""
    verbs = commands.add_parser("map", help="map receptive fields").add_subparsers(required=True, metavar="WHAT")
    verb = verbs.add_parser("fields", help="map the receptive fields of an encoder's neurons")
    add_configuration(verb, fields, planned.fields)


def fields(options: argparse.Namespace, write: Write) -> None:
    """Map receptive fields and print how many neurons have one."""
    import numpy as np

    from recon.analysis.receptive_fields import map_fields
    from recon.config import load

    numbers, picture = map_fields(load(options.config, options.overrides), progress=bar("movie", "fields"))
    with np.load(numbers) as found:
        share = found["share"]
    clear = int((share >= 0.5).sum())
    write(f"fields: for {clear} of {len(share)} neurons a Gaussian explains at least half of the map's variance")
    write(f"numbers: {numbers}")
    write(f"picture: {picture}")
