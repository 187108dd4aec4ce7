"""`recon train encoder|decoder|autoencoder|prior|mask CONFIG`: train models ahead of a benchmark."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path

from recon.commands import planned
from recon.commands.arguments import Commands, Write, add_configuration, add_place
from recon.commands.progress import bar
from recon.errors import InputError


def add_parser(commands: Commands) -> None:
    """Add `train` and its verbs to the commands."""
    about = "train an encoder, a decoder, an autoencoder, a prior or a mask"
    verbs = commands.add_parser("train", help=about).add_subparsers(required=True, metavar="WHAT")
    kinds = {
        "encoder": (planned.encoder, "train an encoder"),
        "decoder": (planned.decoder, "train a decoder of responses"),
        "autoencoder": (planned.autoencoder, "train an autoencoder of movies"),
        "prior": (planned.prior, "train a text-conditioned prior of movies"),
    }
    for kind, (plan, about) in kinds.items():
        verb = verbs.add_parser(kind, help=about)
        add_configuration(verb, partial(train, kind), plan)
        _add_sweep(verb)
    about = "learn the transparency mask of a population"
    add_configuration(verbs.add_parser("mask", help=about), mask, planned.mask)


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    about = (
        "train once per value, for example training.seed=0,1,2; {each} in the configuration is replaced by the value"
    )
    parser.add_argument("--each", metavar="KEY=V,V", help=about)
    add_place(parser)
    parser.add_argument("--cpus", type=float, default=1.0, help="CPUs per training on Ray (1)")
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs per training on Ray, may be a fraction (0)")


def train(kind: str, options: argparse.Namespace, write: Write) -> None:
    """Train a model from a configuration, once or once per value of a setting, with a TensorBoard log."""
    from recon.config import load
    from recon.study.executors.places import place_of
    from recon.study.settings import Share
    from recon.train.card import Command, log_folder
    from recon.train.sweep import Trainings, train_several
    from recon.train.sweep import train as train_one

    tree = load(options.config, options.overrides)
    if not options.each:
        _announce(kind, log_folder(tree), write)
        weights = train_one(kind, tree, Command(options.line))
        write(f"weights: {weights}")
        write(f"card: {weights.with_suffix('.json')}")
        return
    key, separator, values = options.each.partition("=")
    if not separator or not all(values.split(",")):
        raise InputError(f"--each: expected KEY=VALUE,VALUE, got {options.each}; write for example training.seed=0,1,2")
    share = Share(options.cpus, options.gpus)
    place = place_of(options.on, str(tree.get("device", "auto")))
    trainings = Trainings(kind, tree, key, tuple(values.split(",")), options.line)
    _announce(kind, trainings.logs(), write)
    failed = 0
    for outcome in train_several(trainings, place, share=share):
        write(outcome.line or f"{key}={values.split(',')[outcome.job]}: failed, {outcome.error}")
        failed += not outcome.line
    if failed:
        raise InputError(f"--each: expected {len(values.split(','))} trainings, got {failed} that failed; see above")


def _announce(kind: str, log: Path, write: Write) -> None:
    if kind != "decoder":
        write(f"TensorBoard: tensorboard --logdir {shlex.quote(str(log))}")


def mask(options: argparse.Namespace, write: Write) -> None:
    """Learn a transparency mask from a configuration."""
    from recon.config import load
    from recon.train.mask import train_mask

    written = train_mask(load(options.config, options.overrides), progress=bar("step", "mask"))
    write(f"mask: {written}")
