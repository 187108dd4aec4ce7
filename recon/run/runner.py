"""The runner: owns stopping, counting, logging and saving, so that every method is measured in the same way."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recon.methods.base import Method
from recon.problem.problem import Problem
from recon.types import Iterate, Reconstruction, Spread, State, Trace

SUM = "crc32"
"""Key of a checkpoint's checksum."""
SHARE_SPENT_WORKING = 20
"""A checkpoint that took a second to write is followed by this many seconds of work at least."""


@dataclass(frozen=True)
class Budget:
    """Where a run ends at the latest: seconds, encoder evaluations, iterations."""

    seconds: float = math.inf
    evaluations: float = math.inf
    iterations: float = math.inf


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


def reconstruct(
    method: Method,
    problem: Problem,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    trace: Trace | None = None,
    checkpoint: Path | None = None,
    every: float = 20.0,
) -> Reconstruction:
    """Run a method to its end or its budget and return the movie `[B,C,T,H,W]` with what it cost.

    With `checkpoint` the state is saved every `every` seconds (later where saving is slow) and at an interrupt, and
    taken up again if the file is there; the end result is that of an uninterrupted run. From a file that is not as it
    was written nothing is taken: the run begins anew. A non-finite iterate ends
    the run with status "diverged" and the last finite movie. Raises what the method raises on bad input.
    """
    generator = torch.Generator().manual_seed(seed)
    progress, state = Progress(), None
    counter = Counter(problem)
    if checkpoint is not None and checkpoint.exists():
        try:
            progress, state, counts = load_checkpoint(checkpoint, generator, device=problem.device)
            counter = Counter(problem, *counts)
        except BrokenCheckpointError:
            generator.manual_seed(seed)
    try:
        watch = _Watch(trace, checkpoint, every, budget or Budget(), generator)
        status, message = _drive(method(problem, generator, state), progress, counter, watch)
    except (KeyboardInterrupt, SystemExit):
        _save(checkpoint, progress, counter, generator)
        raise
    if progress.last is None:
        raise ValueError("method: expected at least one iterate, got none; allow at least one iteration")
    last, spent = progress.last, (progress.step, counter.evaluations, progress.seconds)
    return Reconstruction(
        last.movie, last.terms, *spent, status, message, last.spread, denoiser_evaluations=counter.denoiser_evaluations
    )


@dataclass(frozen=True)
class _Watch:
    trace: Trace | None
    checkpoint: Path | None
    every: float
    budget: Budget
    generator: torch.Generator


def _drive(iterates: Iterator[Iterate], progress: Progress, counter: Counter, watch: _Watch) -> tuple[str, str]:
    """Pull iterates until the method ends, the budget is spent or a value is not finite."""
    began = time.monotonic()
    for iterate in iterates:
        now = time.monotonic()
        progress.seconds, began = progress.seconds + now - began, now
        broken = not_finite(iterate)
        if broken:
            progress.last = progress.last or _blank(iterate)
            step = progress.step + 1
            return "diverged", f"{broken} is not finite at iterate {step}; lower the step or raise the prior"
        progress.step, progress.last = progress.step + 1, iterate
        if watch.trace is not None:
            watch.trace(progress.step, iterate, _rates(progress, counter))
        if now - progress.saved > max(watch.every, SHARE_SPENT_WORKING * progress.saving):
            _save(watch.checkpoint, progress, counter, watch.generator)
        spent = _spent(progress, counter, watch.budget)
        if spent:
            return "budget", f"the budget of {spent} is spent; raise it to go on"
        began = time.monotonic()
    return "finished", ""


def not_finite(iterate: Iterate) -> str:
    """Return the name of what is not finite in an iterate, or nothing."""
    values = {"movie": iterate.movie, **iterate.terms}
    return next((name for name, value in values.items() if not bool(torch.isfinite(value).all())), "")


def _blank(iterate: Iterate) -> Iterate:
    grey = torch.full_like(iterate.movie, 0.5)
    return Iterate(grey, {name: torch.full_like(value, torch.nan) for name, value in iterate.terms.items()})


def _rates(progress: Progress, counter: Counter) -> dict[str, float]:
    per_second = counter.evaluations / max(progress.seconds, 1e-9)
    return {"evaluations": counter.evaluations, "seconds": progress.seconds, "evaluations_per_second": per_second}


def _spent(progress: Progress, counter: Counter, budget: Budget) -> str:
    if progress.step >= budget.iterations:
        return f"{budget.iterations:g} iterations"
    if counter.evaluations >= budget.evaluations:
        return f"{budget.evaluations:g} evaluations"
    return f"{budget.seconds:g} seconds" if progress.seconds >= budget.seconds else ""


def _save(path: Path | None, progress: Progress, counter: Counter, generator: torch.Generator) -> None:
    """Write the checkpoint aside and rename it."""
    progress.saved = time.monotonic()
    if path is None or progress.last is None:
        return
    from safetensors.torch import save_file

    last = progress.last
    tensors: dict[str, Tensor] = {f"state.{name}": value for name, value in last.state.items()}
    tensors |= {f"terms.{name}": value for name, value in last.terms.items()}
    tensors |= {"movie": last.movie, "generator": generator.get_state()}
    if last.spread is not None:
        tensors |= {"deviation": last.spread.deviation, "draws": torch.tensor([float(last.spread.draws)])}
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
    spread = Spread(tensors["deviation"], float(tensors["draws"])) if "deviation" in tensors else None
    return Progress(int(step), seconds, Iterate(tensors["movie"], terms, state, spread)), state, counts
