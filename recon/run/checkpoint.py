"""Checkpoints: the state of a run on disk."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recon.problem.problem import Problem
from recon.types import Iterate, State, Uncertainty

SUM = "crc32"
"""Key of a checkpoint's checksum."""


@dataclass
class Counter:
    """Counts what encoders and denoiser saw since it was made: `evaluations` is frames seen over the clips' frames."""

    problem: Problem
    frames: float = 0.0
    denoised: float = 0.0

    def __post_init__(self) -> None:
        self.before = self.problem.meter.frames - self.frames
        self.denoised_before = self.problem.meter.denoised - self.denoised

    @property
    def counts(self) -> tuple[float, float]:
        """Frames that the encoders were shown, and samples that a denoiser was."""
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
    """What a run has spent so far, its last iterate, when it was saved and for how long."""

    step: int = 0
    seconds: float = 0.0
    last: Iterate | None = None
    saved: float = field(default_factory=time.monotonic)
    saving: float = 0.0


def save_checkpoint(path: Path | None, progress: Progress, counter: Counter, generator: torch.Generator) -> None:
    """Write the checkpoint aside and rename it."""
    progress.saved = time.monotonic()
    if path is None or progress.last is None:
        return
    from safetensors.torch import save_file

    last = progress.last
    tensors: dict[str, Tensor] = {f"state.{name}": value for name, value in last.state.items()}
    tensors |= {f"terms.{name}": value for name, value in last.terms.items()}
    tensors |= {"movie": last.movie, "generator": generator.get_state()}
    if last.uncertainty is not None:
        tensors |= {"deviation": last.uncertainty.deviation, "draws": torch.tensor([float(last.uncertainty.draws)])}
    spent = [float(progress.step), progress.seconds, *counter.counts]
    tensors["spent"] = torch.tensor(spent, dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    written = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(written, str(aside), {SUM: str(_sum(written))})
    aside.replace(path)
    progress.saving = time.monotonic() - progress.saved


def _sum(tensors: Mapping[str, Tensor]) -> int:
    """Return a checksum of names and content."""
    found = 0
    for name, value in sorted(tensors.items()):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(content.numpy().tobytes(), zlib.crc32(name.encode(), found))
    return found


class BrokenCheckpointError(Exception):
    """A checkpoint that is not as it was written."""


def load_checkpoint(
    path: Path, generator: torch.Generator, *, device: torch.device
) -> tuple[Progress, State, list[float]]:
    """Read a checkpoint: what was spent with the last iterate, the state to go on from, frames seen, samples denoised.

    Raises BrokenCheckpointError where the file is not as it was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt", device="cpu") as file:
            names: list[str] = list(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
            promised = (file.metadata() or {}).get(SUM)
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpointError(str(path)) from error
    if promised != str(_sum(tensors)):
        raise BrokenCheckpointError(str(path))
    tensors = {name: value.to(device) for name, value in tensors.items()}
    step, seconds, *counts = tensors["spent"].tolist()
    generator.set_state(tensors["generator"].cpu())
    state = {name[6:]: value for name, value in tensors.items() if name.startswith("state.")}
    terms = {name[6:]: value for name, value in tensors.items() if name.startswith("terms.")}
    uncertainty = Uncertainty(tensors["deviation"], float(tensors["draws"])) if "deviation" in tensors else None
    return Progress(int(step), seconds, Iterate(tensors["movie"], terms, state, uncertainty)), state, counts
