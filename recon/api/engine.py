"""One reconstruction without a run's folder: the tasks of the study, on objects that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tqdm import tqdm

from recon.api.recording import ClipSet
from recon.encoders.base import Encoder, Unnamed, freeze
from recon.encoders.runtime.precision import in_precision
from recon.methods.base import planned_iterates
from recon.problem.clips import Batch
from recon.run.runner import Budget
from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth
from recon.run.watch import folder_name
from recon.study.encoders import check_encoder
from recon.study.publish import scored
from recon.study.settings import Settings
from recon.study.shared import Bench, Plan
from recon.study.task import Task
from recon.types import Iterate, Reconstruction


class AtHand(NamedTuple):
    """Objects that a benchmark would read by name: clips, encoder and judge."""

    clips: ClipSet
    encoder: Encoder
    judge: Encoder | None = None


class Part(NamedTuple):
    """A reconstructed batch and the rows of its scores, one per clip."""

    batch: Batch
    reconstruction: Reconstruction
    rows: list[dict[str, Any]]


def tasks_of(settings: Settings, plan: Plan, at_hand: AtHand, *, progress: bool) -> list[Task]:
    """Return the tasks of one row on the batches of clips; raises InputError for an encoder that does not fit.

    They are those of a benchmark with these settings, so that both give the same numbers.
    """
    bench = Bench(settings, [plan], progress)
    reader = at_hand.clips.recording.reader
    (name,) = settings.encoders
    found = {
        "recording": reader,
        "batches": at_hand.clips.batches(settings.batch),
        "encoders": {name: _ready(at_hand.encoder, bench, at_hand.clips, "encoder")},
        "judge": None if at_hand.judge is None else _ready(at_hand.judge, bench, at_hand.clips, "judge"),
    }
    vars(bench).update(found)  # a bench reads what its settings name, when it is first needed; here it is at hand
    for batch in bench.batches:
        bench.scorer(batch)  # refuses frames that leave nothing to score before anything is computed
    return [Task(bench, plan, batch) for batch in bench.batches]


def _ready(encoder: Encoder, bench: Bench, clips: ClipSet, where: str) -> Encoder:
    reader = clips.recording.reader
    if isinstance(encoder, Unnamed) and len(encoder.spec.neuron_ids) == len(reader.unit_ids):
        encoder.for_neurons(reader.unit_ids)
    check_encoder(encoder, reader, where)
    return in_precision(freeze(encoder).to(bench.device), bench.settings.precision)


def solve(task: Task, follow: Follow, budget: Budget | None) -> Part:
    """Reconstruct a batch and score it."""
    with follow:
        solved = task.solve(trace=follow, budget=budget)
    return Part(task.batch, solved.result, scored(task, solved))


@dataclass(frozen=True)
class Log:
    """A TensorBoard folder, and the steps between two entries."""

    folder: Path
    every: int = 5


class Follow:
    """Observer of one batch, for a `with` block: a progress bar with the time left, and a TensorBoard log."""

    def __init__(self, task: Task, *, log: Log | None, progress: bool, part: str = "") -> None:
        settings, batch, label = task.bench.settings, task.batch, task.plan.row.label
        scorer = task.bench.scorer(batch)
        self._log = (
            None
            if log is None
            else TensorBoardTrace(
                log.folder / folder_name(label) / part,
                every=log.every,
                truth=GroundTruth(batch.movie, settings.frames.warmup, settings.frames.tail, scorer.pixel_mask),
                labels=[f"trial {trial.index}" for trial in batch.trials],
                frame_rate=task.bench.recording.frame_rate,
            )
        )
        total = planned_iterates(task.plan.method)
        self._bar = tqdm(total=total, desc=f"{label} {part}".strip(), unit="step", leave=False, disable=not progress)

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if self._log is not None:
            self._log(step, iterate, rates)
        self._bar.update(step - self._bar.n)

    def __enter__(self) -> Follow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._log is not None:
            self._log.close()
