"""`recon encoders convert IN OUT`: convert published weights to safetensors with a card, and back."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from recon.encoders.dwiseneuro import argus_files as argus


def convert(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Write the weights in the format given by the suffix of OUT."""
    target = argus.convert(options.source, options.target)
    write(f"weights: {target}")
    if target.suffix == ".safetensors":
        write(f"card: {target.with_suffix('.json')}")
