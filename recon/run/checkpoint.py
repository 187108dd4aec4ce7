"""Checkpoints: the state of a run on disk, resumed by the same run only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import InputError
from recon.files.sealed import read_sealed, write_sealed
from recon.problem.problem import Problem
from recon.run.divergence import Diverged
from recon.types import Iterate, Uncertainty

DIVERGED, IDENTITY = "diverged", "identity"
"""Keys of a checkpoint's metadata: diverged samples with their messages, identity of the run."""


@dataclass
class Counter:
    """Counts encoder and denoiser evaluations of a run, in frames and samples."""

    problem: Problem
    frames: float = 0.0
    denoised: float = 0.0

    def __post_init__(self) -> None:
        self.before = self.problem.meter.frames - self.frames
        self.denoised_before = self.problem.meter.denoised - self.denoised

    @property
    def counts(self) -> tuple[float, float]:
        """Frames seen by encoders, and samples seen by a denoiser."""
        return self.problem.meter.frames - self.before, self.problem.meter.denoised - self.denoised_before

    @property
    def evaluations(self) -> float:
        """Encoder passes over the whole clip."""
        return self.counts[0] / (self.problem.shape[0] * self.problem.shape[2])

    @property
    def denoiser_evaluations(self) -> float:
        """Passes of the denoiser over the whole clip."""
        return self.counts[1] / self.problem.shape[0]


@dataclass(frozen=True)
class Progress:
    """Progress of a run at its last iterate: steps, seconds, the iterate itself, and the diverged samples so far.

    `random` is the generator's state, `counts` are those of evaluations and `portions` (samples, frames) fit into
    memory, all at that iterate. A run interrupted within a step resumes from there; a new step replaces the whole
    record, so that an interrupt never finds parts of two steps.
    """

    step: int = 0
    seconds: float = 0.0
    last: Iterate | None = None
    diverged: Diverged = field(default_factory=dict)
    random: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.uint8))
    counts: tuple[float, float] = (0.0, 0.0)
    portions: tuple[int, int] = (0, 0)

    @property
    def all_diverged(self) -> bool:
        """True where no sample of the batch is finite any more."""
        return self.last is not None and len(self.diverged) == len(self.last.movie)


@dataclass(frozen=True)
class Checkpoint:
    """File with the state of a run; `identity` names the run's method, problem, seed and code."""

    path: Path
    identity: Mapping[str, str]


def save_checkpoint(checkpoint: Checkpoint | None, progress: Progress) -> None:
    """Write the state of a run, with a checksum: flushed to disk under another name, then renamed."""
    if checkpoint is None or progress.last is None:
        return
    last = progress.last
    tensors: dict[str, Tensor] = {f"state.{name}": value for name, value in last.state.items()}
    tensors |= {f"terms.{name}": value for name, value in last.terms.items()}
    tensors |= {"movie": last.movie, "generator": progress.random}
    if last.uncertainty is not None:
        tensors |= {"deviation": last.uncertainty.deviation, "draws": torch.tensor([float(last.uncertainty.draws)])}
    spent = [float(progress.step), progress.seconds, *progress.counts, *map(float, progress.portions)]
    tensors["spent"] = torch.tensor(spent, dtype=torch.float64)
    written = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    about = {DIVERGED: json.dumps(progress.diverged), IDENTITY: json.dumps(dict(checkpoint.identity), sort_keys=True)}
    write_sealed(checkpoint.path, {name: value.cpu() for name, value in written.items()}, about)


def load_checkpoint(checkpoint: Checkpoint, *, device: torch.device) -> Progress:
    """Return the progress of a run; its last iterate has the state to continue from.

    Raises DamagedFileError for a damaged file, and InputError for the checkpoint of another run.
    """
    tensors, about = read_sealed(checkpoint.path)
    _refuse_other(checkpoint, json.loads(about.get(IDENTITY, "{}")))
    tensors = {name: value.to(device) for name, value in tensors.items()}
    step, seconds, *spent = tensors["spent"].tolist()
    state = {name[6:]: value for name, value in tensors.items() if name.startswith("state.")}
    terms = {name[6:]: value for name, value in tensors.items() if name.startswith("terms.")}
    uncertainty = Uncertainty(tensors["deviation"], float(tensors["draws"])) if "deviation" in tensors else None
    diverged = {int(sample): message for sample, message in json.loads(about[DIVERGED]).items()}
    last = Iterate(tensors["movie"], terms, state, uncertainty)
    portions = (int(spent[2]), int(spent[3]))
    return Progress(int(step), seconds, last, diverged, tensors["generator"].cpu(), (spent[0], spent[1]), portions)


def _refuse_other(checkpoint: Checkpoint, found: Mapping[str, str]) -> None:
    other = [name for name, value in checkpoint.identity.items() if found.get(name) != value]
    if other:
        expected = ", ".join(f"{name} {checkpoint.identity[name]}" for name in other)
        got = ", ".join(f"{name} {found.get(name, 'unknown')}" for name in other)
        raise InputError(
            f"checkpoint {checkpoint.path}: expected {expected}, got {got}: it is of another run; "
            "remove it to begin anew, or name another file"
        )
