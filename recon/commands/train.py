"""`recon train encoder|decoder|autoencoder|prior|mask CONFIG`: train models ahead of a benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from recon.config import load
from recon.errors import InputError
from recon.study.executors.places import place_of
from recon.study.settings import Share
from recon.train.mask import train_mask
from recon.train.sweep import Trainings, train_several
from recon.train.sweep import train as train_one

Write = Callable[[str], None]


def train(kind: str, options: argparse.Namespace, write: Write) -> None:
    """Train a model from a configuration, once or once per value of a setting, with a TensorBoard log."""
    log = Path("runs") / "train" / options.config.stem
    if kind != "decoder":
        write(f"TensorBoard: tensorboard --logdir {log}")
    tree = load(options.config, options.overrides)
    if not options.each:
        weights = train_one(kind, tree, log)
        write(f"weights: {weights}")
        write(f"card: {weights.with_suffix('.json')}")
        return
    key, separator, values = options.each.partition("=")
    if not separator or not all(values.split(",")):
        raise InputError(f"--each: expected KEY=VALUE,VALUE, got {options.each}; write for example training.seed=0,1,2")
    share = Share(options.cpus, options.gpus)
    place = place_of(options.on, str(tree.get("device", "auto")))
    failed = 0
    for outcome in train_several(Trainings(kind, tree, key, tuple(values.split(",")), log), place, share=share):
        write(outcome.line or f"{key}={values.split(',')[outcome.job]}: failed, {outcome.error}")
        failed += not outcome.line
    if failed:
        raise InputError(f"--each: expected {len(values.split(','))} trainings, got {failed} that failed; see above")


encoder, decoder, autoencoder, prior = (partial(train, kind) for kind in ("encoder", "decoder", "autoencoder", "prior"))


def mask(options: argparse.Namespace, write: Write) -> None:
    """Learn a transparency mask from a configuration."""
    written = train_mask(load(options.config, options.overrides), progress=_bar)
    write(f"mask: {written}")


def _bar(steps: Iterable[int]) -> Iterable[int]:
    bar: Iterable[int] = tqdm(steps, desc="mask", unit="step", disable=None)
    return bar
