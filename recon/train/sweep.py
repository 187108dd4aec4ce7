"""Sweeps: parallel trainings that differ in one setting, such as a fold or a seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from recon.config.tree import overridden
from recon.errors import InputError
from recon.files.paths import check_writable, user_path
from recon.study.executors.jobs import JobOutcome, in_turn
from recon.study.executors.local import Crew
from recon.study.executors.places import HERE, Place, cards_of
from recon.study.executors.ray import RayCrew
from recon.study.settings import Share
from recon.train.autoencoder import train_autoencoder
from recon.train.card import PYTHON, Command, log_folder
from recon.train.cascade_coarse import train_coarse
from recon.train.decoder import train_decoder
from recon.train.dwiseneuro import train_dwiseneuro
from recon.train.encoder import train_encoder
from recon.train.prior import train_prior

EACH = "{each}"
"""Placeholder in a configuration, for example in `output`, for the value of the swept setting."""


def train(kind: str, tree: Mapping[str, Any], command: Command = PYTHON) -> Path:
    """Train an encoder, decoder, autoencoder or prior from a configuration; return the path of the weights."""
    log = log_folder(tree)
    check_writable(user_path(str(tree.get("output", "weights"))).absolute().parent, key="output")
    match kind:
        case "encoder":
            train_one = train_dwiseneuro if tree.get("encoder") == "dwiseneuro" else train_encoder
            return train_one(dict(tree), log=log, command=command)
        case "decoder":
            return train_decoder(dict(tree), command=command)
        case "autoencoder":
            return train_autoencoder(dict(tree), log=log, command=command)
        case "prior":
            return (
                train_coarse(dict(tree), log=log, command=command)
                if tree.get("stage") == "coarse"
                else train_prior(dict(tree), log=log, command=command)
            )
    raise InputError(f"train: expected encoder, decoder, autoencoder or prior, got {kind}; correct it")


@dataclass(frozen=True)
class Trainings:
    """A sweep: one training per value in `values` of the setting `key`; `line` is the command."""

    kind: str
    tree: Mapping[str, Any]
    key: str
    values: tuple[str, ...]
    line: str = PYTHON.line
    threads: int = 0

    def __call__(self, number: int) -> str:
        """Train with value `number`; return a line with the value and the path of the weights."""
        if self.threads:
            torch.set_num_threads(self.threads)
        each = f"{self.key}={self.values[number]}"
        return f"{each}: {train(self.kind, self.settings(number), Command(self.line, each))}"

    def logs(self) -> Path:
        """Return the folder that holds the TensorBoard folders of all trainings."""
        return Path(os.path.commonpath([log_folder(self.settings(number)) for number in range(len(self.values))]))

    def settings(self, number: int) -> dict[str, Any]:
        """Return the configuration with value `number` in `key` and in place of every `{each}`."""
        value = self.values[number]
        settings: dict[str, Any] = overridden(_with(self.tree, value), [f"{self.key}={value}"])
        return settings


def train_several(trainings: Trainings, on: Place, *, share: Share | None = None) -> Iterator[JobOutcome]:
    """Run the trainings at the place `on` and yield their outcomes; raises InputError if outputs are not distinct."""
    outputs = [trainings.settings(number).get("output") for number in range(len(trainings.values))]
    if len(set(map(str, outputs))) < len(outputs):
        raise InputError(f"output: expected a file for each {trainings.key}, got {outputs[0]}; put {EACH} into it")
    jobs = range(len(trainings.values))
    if on == HERE:
        return in_turn(trainings, jobs)
    return _crew(trainings, on, share or Share()).run(jobs)


def _crew(trainings: Trainings, on: Place, share: Share) -> Crew | RayCrew:
    given = (trainings.kind, trainings.tree, trainings.key, trainings.values, trainings.line)
    if on.ray is not None:
        return RayCrew(partial(Trainings, *given, max(int(share.cpus), 1)), share, on.ray)
    size = min(on.processes, len(trainings.values))
    threads = max(torch.get_num_threads() // size, 1)
    return Crew(partial(Trainings, *given, threads), size, cards_of(_device(trainings.tree)))


def _device(tree: Mapping[str, Any]) -> torch.device:
    from recon.encoders.base import resolve_device

    return resolve_device(str(tree.get("device", "auto")))


def _with(tree: Any, value: str) -> Any:
    if isinstance(tree, Mapping):
        return {key: _with(inner, value) for key, inner in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [_with(inner, value) for inner in tree]
    return tree.replace(EACH, value) if isinstance(tree, str) else tree
