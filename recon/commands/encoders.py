"""`recon encoders convert IN OUT`: published weights as safetensors with a card, and back."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.encoders.dwiseneuro import argus_files as argus


def convert(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write the weights in the form that OUT's suffix names."""
    target = argus.convert(options.source, options.target)
    write(f"weights: {target}")
    if target.suffix == ".safetensors":
        write(f"card: {target.with_suffix('.json')}")
