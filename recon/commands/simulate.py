"""`recon simulate FOLDER`: simulate a recording."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.config import overridden, record
from recon.simulate.recording import simulate as make
from recon.simulate.settings import SimulationSettings


def simulate(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Simulate a recording with the default settings and overrides key=value."""
    settings = record(SimulationSettings, overridden({}, options.overrides), where="simulate")
    write(f"recording: {make(options.folder, settings)}")
