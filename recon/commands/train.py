"""`recon train encoder|decoder|autoencoder|prior|mask CONFIG`: what learns before a benchmark does."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from recon.config import load
from recon.masks import train_mask
from recon.training.autoencoder import train_autoencoder
from recon.training.decoder import train_decoder
from recon.training.dwise import train_dwiseneuro
from recon.training.encoder import train_encoder
from recon.training.prior import train_prior


def encoder(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Train as the configuration says; the training can be watched in TensorBoard."""
    log = Path("runs") / "train" / options.config.stem
    write(f"TensorBoard: tensorboard --logdir {log}")
    config = load(options.config, options.overrides)
    train = train_dwiseneuro if config.get("encoder") == "dwiseneuro" else train_encoder
    weights = train(config, log=log)
    write(f"weights: {weights}")
    write(f"card: {weights.with_suffix('.json')}")


def autoencoder(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Train an autoencoder of movies as the configuration says."""
    log = Path("runs") / "train" / options.config.stem
    write(f"TensorBoard: tensorboard --logdir {log}")
    weights = train_autoencoder(load(options.config, options.overrides), log=log)
    write(f"weights: {weights}")
    write(f"card: {weights.with_suffix('.json')}")


def prior(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Train a text-conditioned diffusion prior of movies as the configuration says."""
    log = Path("runs") / "train" / options.config.stem
    write(f"TensorBoard: tensorboard --logdir {log}")
    weights = train_prior(load(options.config, options.overrides), log=log)
    write(f"weights: {weights}")
    write(f"card: {weights.with_suffix('.json')}")


def decoder(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Train a convolutional decoder as the configuration says."""
    weights = train_decoder(load(options.config, options.overrides))
    write(f"weights: {weights}")
    write(f"card: {weights.with_suffix('.json')}")


def mask(options: argparse.Namespace, write: Callable[[str], None]) -> None:
    """Learn a transparency mask as the configuration says."""
    written = train_mask(load(options.config, options.overrides), progress=_bar)
    write(f"mask: {written}")


def _bar(steps: Iterable[int]) -> Iterable[int]:
    bar: Iterable[int] = tqdm(steps, desc="mask", unit="step", disable=None)
    return bar
