"""`recon simulate FOLDER`: make a simulated recording."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.config import overridden, record
from recon.simulate.recording import simulate as make
from recon.simulate.settings import SimulationSettings


def simulate(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Simulate with the default settings, changed by key=value."""
    settings = record(SimulationSettings, overridden({}, options.overrides), where="simulate")
    write(f"recording: {make(options.folder, settings)}")
