"""`recon simulate FOLDER`: simulate a recording."""

from __future__ import annotations

import argparse

from recon.commands.arguments import Commands, Write
from recon.files.paths import user_path


def add_parser(commands: Commands) -> None:
    """Add `simulate` to the commands."""
    parser = commands.add_parser("simulate", help="make a simulated recording with known truth")
    parser.add_argument("folder", type=user_path, help="the recording's folder, for example recordings/simulated")
    about = "settings, for example neurons=1000"
    parser.add_argument("overrides", nargs="*", default=(), metavar="key=value", help=about)
    parser.set_defaults(command=simulate)


def simulate(options: argparse.Namespace, write: Write) -> None:
    """Simulate a recording with the default settings and overrides key=value."""
    from recon.config import record
    from recon.config.tree import overridden
    from recon.simulate.recording import simulate as make
    from recon.simulate.settings import SimulationSettings

    settings = record(SimulationSettings, overridden({}, options.overrides), where="simulate")
    write(f"recording: {make(options.folder, settings)}")
