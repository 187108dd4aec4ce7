"""Tasks: one row of the table on one batch of clips, its key, and its computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from torch import Tensor

from recon.data.measurement import binning
from recon.encoders.base import Encoder
from recon.encoders.runtime.devices import replicate
from recon.files import digest
from recon.files.code_version import code_version, modules_of
from recon.methods.base import Method, fitted, planned_iterates
from recon.methods.named_files import content_named
from recon.methods.training_set import TrainingSet
from recon.problem.activity import CHANGING
from recon.problem.animals import Animal
from recon.problem.calibration_clips import SHOWN_ONCE
from recon.problem.clips import Batch
from recon.problem.conditions import Condition, common_scale, pose
from recon.problem.fit import fit_fidelity
from recon.problem.problem import Observation, Problem
from recon.run.identity import own_content
from recon.run.runner import Budget, reconstruct
from recon.study.objects import unnamed
from recon.study.population import left_out
from recon.study.saw import Saw, saw_by
from recon.study.shared import Bench, Plan
from recon.types import Reconstruction, Trace

ENGINE = (
    "recon.study.task",
    "recon.study.shared",
    "recon.study.scorer",
    "recon.run.runner",
    "recon.problem.conditions",
    "recon.problem.fit",
    "recon.data.neuron_sets",
    "recon.data.measurement",
    "recon.data.sensorium",
    "recon.encoders.registry",
)
"""Modules that compute every task, beside those of its method, fidelity and encoders."""
POSED_BY = ("recon.problem.conditions", "recon.problem.fit")
"""Modules that pose validation clips, beside those of fidelity and encoders."""


@dataclass(frozen=True)
class Solved:
    """A reconstruction, the problem that it answers, and the fitted method."""

    result: Reconstruction
    problem: Problem
    method: Method


@dataclass(frozen=True)
class Task:
    """One row of the table on one batch of clips."""

    bench: Bench
    plan: Plan
    batch: Batch

    @cached_property
    def unnamed(self) -> str:
        """Why no key names the result, which is then computed anew by every run; empty where one does."""
        return unnamed(self.plan.method, self.plan.fidelity, *self.seeing)

    @cached_property
    def key(self) -> str:
        """Hash of everything that decides the result: data, settings, seed, code."""
        own = {"label": self.plan.row.label, "code": code_version(*self.modules)}
        return digest(self.bench.common | self.decides | own)

    @cached_property
    def decides(self) -> dict[str, Any]:
        """What decides the reconstruction beside the code and what all tasks share."""
        row = self.plan.row
        told = (row.condition, row.words)
        return {
            "clips": [(clip.trial.index, clip.repeats) for clip in self.batch.clips],
            "seed": self.plan.seed,
            "method": repr(self.plan.method),
            "fidelity": repr(self.plan.fidelity),
            "encoders": [(name, self.bench.hashes[name]) for name in self.encoders],
            "condition": row.condition,
            "strangers": [trial.index for trial in self.batch.strangers if "wrong_clip" in told or "shuffled" in told],
            "bins": row.bins,
            "population": repr(row.population),
            **({"data": row.data} if row.data < 1 else {}),
            **({} if row.activity.recorded else {"activity": repr(row.activity)}),
            **({"words": row.words} if row.words != "none" else {}),
            **({"files": files} if (files := content_named([self.plan.method, self.plan.fidelity])) else {}),
            **({"animals": [animal.hash for animal in self.animals]} if row.animals else {}),
            **({"own": own} if (own := own_content([self.plan.method, self.plan.fidelity])) else {}),
            **({"unnamed": uuid4().hex} if self.unnamed else {}),
        }

    @property
    def modules(self) -> set[str]:
        """Names of the modules whose code, with all that they import, decides the result."""
        changing = () if self.plan.row.activity.recorded else (CHANGING,)
        return {*modules_of(self.plan.method, self.plan.fidelity, *self.seeing), *ENGINE, *changing}

    @property
    def seeing(self) -> list[Encoder]:
        """The encoders that fit or judge the result."""
        judge = () if self.bench.judge is None else (self.bench.judge,)
        return [*self.encoders.values(), *(animal.encoder for animal in self.animals), *judge]

    @property
    def label(self) -> str:
        """The row's label, with the seed if the row has several."""
        return self.plan.row.label + (f", seed {self.plan.seed}" if len(self.plan.row.seeds) > 1 else "")

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders of the row by name."""
        return {name: self.bench.encoders[name] for name in self.bench.settings.names(self.plan.row)}

    @property
    def shown(self) -> Batch:
        """The clips with the activity that the row is given."""
        return self.bench.shown(self.batch, self.plan.row.activity)

    @property
    def effort(self) -> int:
        """Relative cost: planned iterations × clips."""
        return (planned_iterates(self.plan.method) or 1) * len(self.batch.clips)

    @cached_property
    def left_out(self) -> Tensor:
        """Mask `[N]` of the neurons that the row's population lacks."""
        return left_out(self.bench, self.plan.row)

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """The neuron sets of this row: neurons that it lacks count as *report* neurons, neither fitted nor shown."""
        sets = self.bench.sets
        if self.plan.row.population.silent:
            return sets
        return sets | {"fit": sets["fit"] & ~self.left_out, "report": sets["report"] | self.left_out}

    @property
    def animals(self) -> list[Animal]:
        """The other animals of the row."""
        return [self.bench.animals[name] for name in self.plan.row.animals]

    def solve(
        self, *, trace: Trace | None = None, checkpoint: Path | None = None, budget: Budget | None = None
    ) -> Solved:
        """Fit the method, pose the problem and reconstruct the batch; writes nothing but artefacts and checkpoint."""
        method, problem = self.method(), self.pose()
        posed, seed = self._on_devices(problem), self.plan.seed
        result = reconstruct(method, posed, seed=seed, budget=budget, trace=trace, checkpoint=checkpoint)
        return Solved(result, problem, method)

    def method(self) -> Method:
        """Return the method, fitted on the training trials where it learns."""
        return fitted(self.plan.method, self.training())

    def training(self) -> TrainingSet:
        """Return the training set of the row's method."""
        bench, encoders = self.bench, tuple(self.encoders.values())
        others = [animal.hash for animal in self.animals]
        posing = modules_of(self.plan.fidelity, *(animal.encoder for animal in self.animals))
        code = code_version(*posing, *POSED_BY)
        return TrainingSet(
            bench.recording,
            self.sets["fit"],
            bench.settings.artefacts,
            self.batch.frames,
            encoders=encoders,
            scale=common_scale(bench.recording, encoders),
            validation=self._validation,
            share=self.plan.row.data,
            posed_as=repr((self.plan.fidelity, self.plan.row.bins, self.plan.row.population.silent, *others, code)),
            seed=self.plan.seed,
            device=bench.device,
            progress=bench.progress,
        )

    def pose(self) -> Problem:
        """Return the problem of the row's condition, with its fidelity fitted."""
        return self._posed(self.shown, self.plan.row.condition)

    def _on_devices(self, posed: Problem) -> Problem:
        """Return a problem with its encoders replicated over the devices; scores use the bench's own encoders."""
        devices = self.bench.devices
        seen = (replace(o, encoder=replicate(o.encoder, devices, first=i)) for i, o in enumerate(posed.observations))
        return replace(posed, observations=tuple(seen))

    def _validation(self) -> list[tuple[Problem, Tensor]]:
        return [(self._posed(batch, "recorded"), batch.movie) for batch in self.bench.validation]

    def _posed(self, batch: Batch, condition: Condition) -> Problem:
        bench, row, settings = self.bench, self.plan.row, self.bench.settings
        fidelity = fit_fidelity(
            self.plan.fidelity,
            bench.recording,
            self.encoders,
            sets=self.sets,
            frames=batch.frames,
            bins=row.bins,
            artefacts=settings.artefacts,
            hashes={name: bench.hashes[name] for name in self.encoders},
            window=settings.window,
        )
        return pose(
            batch,
            condition,
            list(self.encoders.values()),
            fidelity=fidelity.to(bench.device),
            sets=self.sets,
            silent=self.left_out if row.population.silent else None,
            update_mask=None if settings.mask is None or bench.mask is None else bench.mask >= settings.mask.update,
            acquisition=binning(bench.recording, frames=batch.frames, bins=row.bins),
            device=bench.device,
            window=settings.window,
            others=self._others(batch, condition),
            words=self.plan.row.words,
        )

    def _others(self, batch: Batch, condition: Condition) -> list[Observation]:
        settings, bins, device = self.bench.settings, self.plan.row.bins, self.bench.device
        found: list[Observation] = []
        for animal in self.animals:
            fidelity = animal.fitted(
                self.plan.fidelity, frames=batch.frames, bins=bins, artefacts=settings.artefacts, window=settings.window
            )
            found += animal.observations(batch, condition, fidelity, bins=bins, device=device, window=settings.window)
        return found

    @property
    def _fidelity_name(self) -> str:
        given, built = self.plan.row.fidelity, self.plan.fidelity
        return str(given["name"]) if isinstance(given, Mapping) else type(built).__name__.lower()

    def rows(self, result: Reconstruction, problem: Problem) -> list[dict[str, Any]]:
        """Return one row of the table per clip, with the reason of every undefined score."""
        scorer, movie, row = self.bench.scorer(self.shown), result.movie.cpu(), self.plan.row
        judged, about = scorer.judge_scores(movie, repeats=row.condition in SHOWN_ONCE)
        scores = scorer.movie_scores(movie) | scorer.response_scores(movie, problem) | judged
        scores |= scorer.coverage(movie, result.uncertainty)
        scores |= scorer.heldout_scores(movie, list(self.encoders.values()), key="+".join(self.encoders))
        return [
            self._about(result, clip)
            | {name: float(values[clip]) for name, values in scores.items()}
            | {"message": "; ".join(filter(None, [result.ending(clip)[1], about, *scorer.undefined(scores, clip)]))}
            for clip in range(len(movie))
        ]

    def failed_rows(self, message: str) -> list[dict[str, Any]]:
        """Return the rows of a task that was given up: without scores, and with the reason."""
        nothing = Reconstruction(self.batch.movie[:, :, :0], {}, 0, 0.0, 0.0, "failed")
        return [self._about(nothing, clip) | {"message": message} for clip in range(len(self.batch.clips))]

    @cached_property
    def saw(self) -> Saw:
        """What the method sees of what the row gives it."""
        encoders = [*self.encoders.values(), *(animal.encoder for animal in self.animals)]
        behavior = any(encoder.spec.behavior for encoder in encoders)
        return saw_by(self.plan.method, self.plan.row, behavior=behavior)

    def _about(self, result: Reconstruction, clip: int) -> dict[str, Any]:
        row, trial = self.plan.row, self.batch.trials[clip]
        fitted_neurons = [self.bench.sets["fit"] & ~self.left_out, *(animal.sets["fit"] for animal in self.animals)]
        return {
            "recording": self.bench.recording.name,
            "trial": trial.index,
            "video_id": trial.video_id,
            "method": row.label,
            "encoder": "+".join([*self.encoders, *self.plan.row.animals]),
            "fidelity": self._fidelity_name,
            "bins": row.bins,
            "neurons": sum(int(fit.sum()) for fit in fitted_neurons),
            "seed": self.plan.seed,
            "condition": row.given,
            "status": result.ending(clip)[0],
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "denoiser_evaluations": result.denoiser_evaluations or None,
            "seconds": result.seconds,
            "behavior": self.saw.behavior,
            "text": ", ".join(self.saw.text),
            "animals": ", ".join(self.saw.animals),
            "pretrained": ", ".join(self.saw.sees.pretrained),
            "oracle": self.saw.truth,
        }
