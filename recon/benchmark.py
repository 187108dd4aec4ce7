"""The benchmark: rows of a table × batches of clips → immutable tasks, scores, and the table derived from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.base import Encoder, freeze, resolve_device
from recon import config
from recon.conditions import Batch, batches, choose_clips, pose
from recon.data.measurement import binning
from recon.data.sensorium import SensoriumRecording, open_recording
from recon.data.sets import neuron_sets
from recon.fidelities.base import Likelihood
from recon.fitting import fit_fidelity
from recon.keys import check_encoder, class_names, modules_of, state_hash
from recon.methods.base import Method, fitted
from recon.outputs import COLUMNS, describe, movie_file, table_rows, write_inputs
from recon.problem import Problem
from recon.progress import Tracing
from recon.run import reconstruct
from recon.scoring import Judge, make_judge
from recon.settings import Row, Settings
from recon.store import Store, code_version, digest, one_writer, write_bytes, write_json, write_table
from recon.types import Reconstruction

Say = Callable[[str], None]


def benchmark(tree: Mapping[str, Any], *, say: Say = lambda line: None, progress: bool = False) -> Path:
    """Run every row of a benchmark's configuration that is not finished, and return the run's folder.

    Finished tasks are found again by the hash of what went into them, unfinished ones go on at their checkpoint, so
    that the same call after an interruption ends with the same numbers. `say` gets one line per task.
    """
    tree = config.expand(tree)
    settings = config.record(Settings, tree, where="benchmark")
    plans = plan(settings)
    with one_writer(settings.run):
        bench = Bench(settings, plans, progress=progress)
        tasks = [Task(bench, row, batch) for row in plans for batch in bench.batches]
        bench.store.select([task.key for task in tasks])
        write_inputs(settings.run, tree, device=bench.device, sets=bench.sets, batches=bench.batches, settings=settings)
        for number, task in enumerate(tasks, 1):
            task.run(f"{number}/{len(tasks)}", say)
            _write_results(bench.store, tasks)
    return settings.run


@dataclass(frozen=True)
class Plan:
    """A row of the table with its method and fidelity built, before anything is read or computed."""

    row: Row
    method: Method
    fidelity: Likelihood


def plan(settings: Settings) -> list[Plan]:
    """Return the rows' methods and fidelities; a wrong name or type anywhere is found here, before any work."""
    plans = []
    for number, row in enumerate(settings.rows):
        method = config.build("method", row.method, where=f"benchmark.rows[{number}].method")
        fidelity = config.build("fidelity", row.fidelity, where=f"benchmark.rows[{number}].fidelity")
        plans.append(Plan(row, method, fidelity))
    return plans


@dataclass(frozen=True)
class Bench:
    """What the tasks of a benchmark share: recording, encoders, clips and neuron sets, read when first needed."""

    settings: Settings
    plans: list[Plan]
    progress: bool = False
    judges: dict[int, Judge] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Where the tasks' results lie."""
        return Store(self.settings.run)

    @cached_property
    def device(self) -> torch.device:
        """The device on which movies are optimised."""
        return resolve_device(self.settings.device)

    @cached_property
    def recording(self) -> SensoriumRecording:
        """The recording; simulated now if its folder is absent and the configuration says how."""
        path, simulate = self.settings.recording, self.settings.simulate
        if simulate is not None:
            from recon.simulate.recording import simulate as make
            from recon.simulate.settings import SimulationSettings

            make(path, config.record(SimulationSettings, simulate, where="benchmark.simulate"), self.progress)
        return open_recording(path)

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """Masks `[N]` of the fit, selection and report neurons."""
        neurons = self.settings.neurons
        return neuron_sets(
            self.recording.unit_ids, selection=neurons.selection, report=neurons.report, seed=neurons.seed
        )

    @cached_property
    def batches(self) -> list[Batch]:
        """The clips, in batches of equal length."""
        clips = choose_clips(self.recording, self.settings.clips)
        return batches(self.recording, clips, size=self.settings.batch)

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders that some row uses, checked against the recording and frozen."""
        used = {name for entry in self.plans for name in self.settings.names(entry.row)}
        return {name: self._encoder(tree, f"encoders.{name}") for name, tree in self.settings.encoders.items() if name in used}

    @cached_property
    def judge(self) -> Encoder | None:
        """The encoder that judges, or none."""
        return None if self.settings.judge is None else self._encoder(self.settings.judge, "judge")

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hashes of the encoders' parameters by name."""
        return {name: state_hash(encoder) for name, encoder in self.encoders.items()}

    def scorer(self, batch: Batch) -> Judge:
        """Return what scores a batch, the same for all rows."""
        if id(batch) not in self.judges:
            self.judges[id(batch)] = make_judge(self.settings, batch, sets=self.sets, judge=self.judge)
        return self.judges[id(batch)]

    def _encoder(self, tree: Mapping[str, Any], where: str) -> Encoder:
        encoder: Encoder = config.build("encoder", tree, where=f"benchmark.{where}")
        check_encoder(encoder, self.recording, where)
        return freeze(encoder).to(self.device)


@dataclass(frozen=True)
class Task:
    """One row of the table on one batch of clips."""

    bench: Bench
    plan: Plan
    batch: Batch

    @cached_property
    def key(self) -> str:
        """Hash of all that decides the result."""
        settings, row = self.bench.settings, self.plan.row
        judge = None if self.bench.judge is None else state_hash(self.bench.judge)
        return digest(
            {
                "recording": self.bench.recording.fingerprint(),
                "clips": [(clip.trial.index, clip.repeats) for clip in self.batch.clips],
                "label": row.label,
                "method": repr(self.plan.method),
                "fidelity": repr(self.plan.fidelity),
                "encoders": [(name, self.bench.hashes[name]) for name in settings.names(row)],
                "judge": judge,
                "condition": row.condition,
                "bins": row.bins,
                "scored": [settings.frames, settings.pixels],
                "neurons": settings.neurons,
                "seed": settings.seed,
                "window": settings.window,
                "code": code_version(*modules_of(self.plan.method, *self.encoders.values()), __name__, "recon.fidelity"),
            }
        )

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders of the row by name."""
        return {name: self.bench.encoders[name] for name in self.bench.settings.names(self.plan.row)}

    def run(self, number: str, say: Say) -> None:
        """Do the task unless it is done."""
        store, label = self.bench.store, self.plan.row.label
        if store.complete(self.key):
            return say(f"[{number}] {label}: done already")
        folder = store.partial(self.key)
        problem = self.pose()
        truth = self.bench.scorer(self.batch)
        with Tracing(self.bench.settings, self.plan, truth, folder=folder, number=number, progress=self.bench.progress) as trace:
            result = reconstruct(
                self.method(), problem, seed=self.bench.settings.seed, trace=trace, checkpoint=folder / "state.safetensors"
            )
        self._write(folder, result, problem)
        store.publish(self.key, drop=["state.safetensors"])
        return say(f"[{number}] {describe(label, result)}")

    def method(self) -> Method:
        """Return the method, fitted on the training trials where it learns."""
        settings, bench = self.bench.settings, self.bench
        return fitted(
            self.plan.method,
            bench.recording,
            neurons=bench.sets["fit"],
            artefacts=settings.artefacts,
            frames=self.batch.frames,
        )

    def pose(self) -> Problem:
        """Return the problem of the row's condition, with its fidelity fitted."""
        bench, row = self.bench, self.plan.row
        hashes = {name: bench.hashes[name] for name in self.encoders}
        fidelity = fit_fidelity(
            self.plan.fidelity,
            bench.recording,
            self.encoders,
            sets=bench.sets,
            frames=self.batch.frames,
            bins=row.bins,
            artefacts=bench.settings.artefacts,
            hashes=hashes,
            window=bench.settings.window,
        )
        return pose(
            self.batch,
            row.condition,
            list(self.encoders.values()),
            fidelity=fidelity.to(bench.device),
            sets=bench.sets,
            acquisition=binning(bench.recording, frames=self.batch.frames, bins=row.bins),
            device=bench.device,
            window=bench.settings.window,
        )

    def _write(self, folder: Path, result: Reconstruction, problem: Problem) -> None:
        judge, movie = self.bench.scorer(self.batch), result.movie.cpu()
        write_bytes(folder / "movie.h5", movie_file(self.batch, movie))
        write_json(folder / "curves.json", judge.curves(movie))
        write_json(folder / "config.yaml", {"row": self.plan.row, "method": repr(self.plan.method)})
        rows = table_rows(self.bench.settings, self.plan, judge, result, problem)
        write_json(folder / "row.json", {"rows": rows})


def _write_results(store: Store, tasks: list[Task]) -> None:
    write_table(store.root / "results.csv", store.rows(task.key for task in tasks), COLUMNS)
