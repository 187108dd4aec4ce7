"""`recon list`: the methods, encoders, priors, fidelities and metrics that a configuration can name."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.config import listing as entries


def listing(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write the names of each kind, each with a one-sentence description."""
    kind = ""
    for current, name, about in entries():
        if current != kind:
            write(f"{current}s" if current != "fidelity" else "fidelities")
            kind = current
        write(f"  {name:28} {about}")
