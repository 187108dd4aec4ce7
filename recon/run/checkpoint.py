"""Checkpoints: the state of a run on disk, resumed by the same run only."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recon.errors import InputError
from recon.problem.problem import Problem
from recon.run.divergence import Diverged
from recon.types import Iterate, State, Uncertainty

SUM, DIVERGED, IDENTITY = "crc32", "diverged", "identity"
"""Keys of a checkpoint's metadata: checksum, diverged samples with their messages, identity of the run."""


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


@dataclass
class Progress:
    """Progress of a run: iterates, seconds, the last iterate, diverged samples, and when and how long it was saved.

    `random` and `counts` are the generator's state and the evaluation counts at the last iterate: a run interrupted
    within a step resumes from there.
    """

    step: int = 0
    seconds: float = 0.0
    last: Iterate | None = None
    diverged: Diverged = field(default_factory=dict)
    random: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.uint8))
    counts: tuple[float, float] = (0.0, 0.0)
    saved: float = field(default_factory=time.monotonic)
    saving: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """File with the state of a run; `identity` names the run's method, problem, seed and code."""

    path: Path
    identity: Mapping[str, str]


def save_checkpoint(checkpoint: Checkpoint | None, progress: Progress) -> None:
    """Write the state of a run to a temporary file and rename it."""
    progress.saved = time.monotonic()
    if checkpoint is None or progress.last is None:
        return
    from safetensors.torch import save_file

    last = progress.last
    tensors: dict[str, Tensor] = {f"state.{name}": value for name, value in last.state.items()}
    tensors |= {f"terms.{name}": value for name, value in last.terms.items()}
    tensors |= {"movie": last.movie, "generator": progress.random}
    if last.uncertainty is not None:
        tensors |= {"deviation": last.uncertainty.deviation, "draws": torch.tensor([float(last.uncertainty.draws)])}
    spent = [float(progress.step), progress.seconds, *progress.counts]
    tensors["spent"] = torch.tensor(spent, dtype=torch.float64)
    path = checkpoint.path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    written = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    about = {DIVERGED: json.dumps(progress.diverged), IDENTITY: json.dumps(dict(checkpoint.identity), sort_keys=True)}
    save_file(written, str(aside), about | {SUM: str(_sum(written, about))})
    aside.replace(path)
    progress.saving = time.monotonic() - progress.saved


def _sum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> int:
    """Return a checksum of the names and values of tensors and metadata."""
    found = zlib.crc32(repr(sorted(about.items())).encode())
    for name, value in sorted(tensors.items()):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(content.numpy().tobytes(), zlib.crc32(name.encode(), found))
    return found


class BrokenCheckpointError(Exception):
    """A checkpoint whose content does not match its checksum."""


def load_checkpoint(checkpoint: Checkpoint, *, device: torch.device) -> tuple[Progress, State]:
    """Return the progress of a run and the state to continue from.

    Raises BrokenCheckpointError for a damaged file, and InputError for the checkpoint of another run.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(checkpoint.path), "pt", device="cpu") as file:
            names: list[str] = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
            about: dict[str, str] = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpointError(str(checkpoint.path)) from error
    if about.pop(SUM, "") != str(_sum(tensors, about)):
        raise BrokenCheckpointError(str(checkpoint.path))
    _refuse_other(checkpoint, json.loads(about.get(IDENTITY, "{}")))
    tensors = {name: value.to(device) for name, value in tensors.items()}
    step, seconds, *counts = tensors["spent"].tolist()
    state = {name[6:]: value for name, value in tensors.items() if name.startswith("state.")}
    terms = {name[6:]: value for name, value in tensors.items() if name.startswith("terms.")}
    uncertainty = Uncertainty(tensors["deviation"], float(tensors["draws"])) if "deviation" in tensors else None
    diverged = {int(sample): message for sample, message in json.loads(about[DIVERGED]).items()}
    last = Iterate(tensors["movie"], terms, state, uncertainty)
    progress = Progress(int(step), seconds, last, diverged, tensors["generator"].cpu(), (counts[0], counts[1]))
    return progress, state


def _refuse_other(checkpoint: Checkpoint, found: Mapping[str, str]) -> None:
    other = [name for name, value in checkpoint.identity.items() if found.get(name) != value]
    if other:
        expected = ", ".join(f"{name} {checkpoint.identity[name]}" for name in other)
        got = ", ".join(f"{name} {found.get(name, 'unknown')}" for name in other)
        raise InputError(
            f"checkpoint {checkpoint.path}: expected {expected}, got {got}: it is of another run; "
            "remove it to begin anew, or name another file"
        )
