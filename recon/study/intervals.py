"""Calibrated intervals of a task: an artefact learnt from calibration clips, reconstructed as the row's clips are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from recon.errors import InputError
from recon.files import digest
from recon.files.code_version import code_version, modules_of
from recon.files.locks import one_at_a_time
from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.metrics import ranked
from recon.metrics.intervals.bounds import Bounds, Declared
from recon.metrics.intervals.calibration import Calibration, EstimatedClip, Scored, calibrate_on
from recon.problem.calibration_clips import SHOWN_ONCE
from recon.study.scorer import Scores, scored_pixels
from recon.study.settings import Intervals
from recon.study.shared import INTERVALS
from recon.study.task import ENGINE, Task
from recon.types import Reconstruction

ALIKE = ("recording", "frames", "region", "mask", "neurons", "window", "precision")
"""What of that which all tasks share decides a calibration."""


@dataclass(frozen=True)
class Calibrating:
    """The calibration of a task's row, the same for all batches of clips.

    Its identity is that of the reconstructions of the calibration clips, with how they are made into intervals.
    """

    task: Task
    intervals: Intervals

    @classmethod
    def of(cls, task: Task) -> Calibrating:
        """Return the calibration of a task's row; raises InputError where no calibration clips can be had for it."""
        found = calibrating(task)
        if found is None:
            raise InputError(
                f"intervals: expected a condition of one presentation ({', '.join(SHOWN_ONCE)}), got "
                f"{task.plan.row.condition}; calibration clips are shown once"
            )
        return found

    @cached_property
    def identity(self) -> str:
        """Hash of what decides the calibration: calibration clips, method, problem, scored pixels, settings, code."""
        bench, calibration = self.task.bench, repr(self.intervals.calibration)
        tasks = [self._on(number) for number in range(len(bench.calibration))]
        encoders = [bench.hashes[name] for name in self.task.encoders]  # whatever a run calls them
        decides = [{**task.decides, "encoders": encoders, "unnamed": ""} for task in tasks]
        shared = {name: bench.common[name] for name in ALIKE}
        return digest([shared, decides, calibration, code_version(*self._code)])

    @property
    def path(self) -> Path:
        """The artefact's file."""
        return artefact_path(self.task.bench.settings.artefacts, "intervals", self.identity, code=self._code)

    @property
    def scored(self) -> Scored:
        """The scored frames and pixels."""
        settings = self.task.bench.settings
        pixels = scored_pixels(settings, self.task.bench.recording.frame_size)
        return Scored(settings.frames.warmup, settings.frames.tail, pixels)

    def learnt(self) -> Calibration:
        """Return the calibration: in memory, from its artefact, or learnt now; one process learns, others wait.

        A row that no key can name is calibrated anew by every run, and leaves no artefact.
        """
        kept = self.task.bench.calibrated
        if self.name not in kept:
            kept[self.name] = self._learn() if self.task.unnamed else self._stored()
        return kept[self.name]

    def adopt(self, calibration: Calibration) -> None:
        """Use a calibration that was learnt before, with the same identity."""
        self.task.bench.calibrated[self.name] = calibration

    @cached_property
    def name(self) -> str:
        """Name of the calibration in memory: its identity, or the row's place where no key can name it."""
        return f"row {id(self.task.plan)}" if self.task.unnamed else self.identity

    def _stored(self) -> Calibration:
        path = self.path
        if not whole(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(path):
                self._save(path)
        return Calibration.of(load_artefact(path, method="intervals"), self.intervals.calibration, self.scored)

    def _save(self, path: Path) -> None:
        if not whole(path):
            began = time.monotonic()
            learnt = self._learn()
            save_artefact(learnt.tensors(), path, seconds=time.monotonic() - began)

    def _learn(self) -> Calibration:
        return calibrate_on(list(self._estimates()), self.intervals.calibration, self.scored)

    def _estimates(self) -> Iterator[EstimatedClip]:
        """Yield the calibration clips, reconstructed by the row's method under the row's condition."""
        bench = self.task.bench
        count, label = len(bench.calibration), f"calibrating {self.task.label}"
        shown = bench.progress and sys.stderr.isatty()
        for number in tqdm(range(count), desc=label, unit="batch", leave=False, disable=not shown):
            task = self._on(number)
            yield from estimates(task.solve().result, task.batch.movie)

    def _on(self, number: int) -> Task:
        return replace(self.task, batch=self.task.bench.calibration[number])

    @property
    def _code(self) -> set[str]:
        """Modules that reconstruct and calibrate; a judge does not count."""
        task = self.task
        encoders = [*task.encoders.values(), *(animal.encoder for animal in task.animals)]
        return {*modules_of(task.plan.method, task.plan.fidelity, *encoders), *ENGINE, INTERVALS}


def calibrating(task: Task) -> Calibrating | None:
    """Return the calibration of a task's row; None where none is asked for, or its clips are not shown often enough."""
    intervals = task.bench.settings.intervals
    if intervals is None or task.plan.row.condition not in SHOWN_ONCE:
        return None
    return Calibrating(task, intervals)


def estimates(result: Reconstruction, truth: Tensor) -> Iterator[EstimatedClip]:
    """Yield the clips of a reconstructed batch with their true movies `[B,C,T,H,W]`."""
    movies, known = result.movie.cpu(), result.uncertainty
    spreads = [None] * len(movies) if known is None else list(known.deviation.cpu())
    for movie, true, spread in zip(movies, truth.cpu(), spreads, strict=True):
        yield EstimatedClip(movie.clone(), true, None if spread is None else spread.clone())


def declare(task: Task, result: Reconstruction) -> Declared | None:
    """Return the calibrated intervals of a reconstructed batch; None where its row has none."""
    found = calibrating(task)
    if found is None:
        return None
    calibration, each = found.learnt(), list(estimates(result, task.shown.movie))
    bounds = [calibration.bounds(one.movie, one.deviation) for one in each]
    deviations = torch.stack([calibration.deviation(one.movie, one.deviation) for one in each])
    lower, upper = (torch.stack(side) for side in zip(*bounds, strict=True))
    return Declared(Bounds(lower, upper), deviations)


def declared_scores(task: Task, declared: Declared | None) -> Scores:
    """Return the scores `[B]` of calibrated intervals over scored frames and pixels: coverage and half-width."""
    if declared is None:
        return {}
    scorer = task.bench.scorer(task.shown)
    shown = (*declared.bounds, task.shown.movie)
    cut = [movie[:, :, scorer.first : scorer.end].cpu() for movie in shown]
    return {metric.name: metric.function(*cut, scorer.pixel_mask) for metric in ranked("bounds")}
