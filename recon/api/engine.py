"""One reconstruction without a run's folder: the tasks of the study, on objects that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tqdm import tqdm

from recon.api.recording import ClipSet, OpenRecording
from recon.errors import InputError, listed
from recon.methods.base import planned_iterates
from recon.metrics.intervals.calibration import Calibration
from recon.problem.clips import Batch
from recon.run.runner import Budget
from recon.run.tensorboard import TensorBoardTrace
from recon.run.trace import GroundTruth
from recon.run.watch import folder_name
from recon.study.intervals import Calibrating, calibrating, declare
from recon.study.publish import scored
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task
from recon.study.validation import row_problems
from recon.types import Iterate, Reconstruction


class Part(NamedTuple):
    """A reconstructed batch, the rows of its scores, one per clip, and the calibration of its intervals."""

    batch: Batch
    reconstruction: Reconstruction
    rows: list[dict[str, Any]]
    calibration: Calibration | None = None


def tasks_of(settings: Settings, clips: ClipSet, *, progress: bool) -> list[Task]:
    """Return the tasks of a benchmark on its clips; raises InputError before anything is computed."""
    bench = Bench(settings, plan(settings), progress)
    # The clips have been read. Opening their recording again would hash every video again where no file has its id.
    vars(bench).update(recording=clips.recording.reader, batches=clips.batches(settings.batch))
    for batch in bench.batches:
        bench.scorer(batch)  # refuses frames that leave nothing to score
    return _checked(bench, where="reconstruct")


def calibrating_task(settings: Settings, recording: OpenRecording, *, progress: bool) -> Task:
    """Return a task on the calibration clips of settings; raises InputError before anything is computed."""
    bench = Bench(settings, plan(settings), progress)
    vars(bench).update(recording=recording.reader, batches=[])
    vars(bench)["batches"] = bench.calibration
    return _checked(bench, where="calibrate")[0]


def adopt(task: Task, calibration: Calibration, *, identity: str) -> None:
    """Give the task's row a calibration; raises InputError unless it is that of the row."""
    own = Calibrating.of(task)
    if own.identity != identity:
        raise InputError(
            f"calibration: expected one of this method, encoder, recording and options ({own.identity}), got another "
            f"({identity}); call recon.calibrate with the same"
        )
    own.adopt(calibration)


def _checked(bench: Bench, *, where: str) -> list[Task]:
    problems = [text for entry in bench.plans for text in row_problems(bench, entry)]
    if problems:
        raise listed(problems, where=where)
    return [Task(bench, entry, batch) for entry in bench.plans for batch in bench.batches]


def solve(task: Task, follow: Follow, budget: Budget | None) -> Part:
    """Reconstruct a batch and score it."""
    with follow:
        solved = task.solve(trace=follow, budget=budget)
    found, declared = calibrating(task), declare(task, solved.result)
    calibration = None if found is None else found.learnt()
    return Part(task.shown, solved.result, scored(task, solved, declared), calibration)


@dataclass(frozen=True)
class Log:
    """A TensorBoard folder, and the steps between two entries."""

    folder: Path
    every: int = 5


class Follow:
    """Observer of one batch, for a `with` block: a progress bar with the time left, and a TensorBoard log."""

    def __init__(self, task: Task, *, log: Log | None, progress: bool, part: str = "") -> None:
        settings, batch, label = task.bench.settings, task.shown, task.plan.row.label
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
