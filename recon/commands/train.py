"""`recon train encoder CONFIG`: learn an encoder from a recording."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from recon.config import load
from recon.training import train_encoder


def encoder(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Train as the configuration says; the training can be watched in TensorBoard."""
    log = Path("runs") / "train" / options.config.stem
    write(f"TensorBoard: tensorboard --logdir {log}")
    weights = train_encoder(load(options.config, options.overrides), log=log)
    write(f"weights: {weights}")
    write(f"card: {weights.with_suffix('.json')}")
