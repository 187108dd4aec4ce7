"""Rows × batches as tasks: what each is made of, what names it, and how it is done."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.base import Encoder, resolve_device
from recon import config
from recon.conditions import Batch, batches, choose_clips, pose
from recon.data.masks import read_mask
from recon.data.measurement import binning
from recon.data.sensorium import SensoriumRecording, open_recording
from recon.data.sets import left_out_neurons, neuron_sets
from recon.fidelities.base import Likelihood
from recon.fitting import fit_fidelity
from recon.forward import Arithmetic, make_recording, ready_encoder
from recon.keys import modules_of, planned_iterations, state_hash
from recon.methods.base import Method, fitted
from recon.outputs import movie_file, to_yaml
from recon.problem import Problem
from recon.progress import Places, Watch, folder_name
from recon.run import reconstruct
from recon.scoring import Judge, make_judge, undefined
from recon.settings import Row, Settings
from recon.store import Store, code_version, digest, write_bytes, write_json
from recon.trace import GroundTruth
from recon.types import Reconstruction

ENGINE = ("recon.run", "recon.conditions", "recon.fitting", "recon.scoring")
"""Modules on which every task's numbers depend, beside those of its method and encoders."""
JUDGED_ANEW = ("recorded", "wrong_clip", "predicted", "noise_free")
"""Conditions that leave the other repeats unseen, so that a judge can be asked about them."""


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
        method = config.build("method", row.method, where=f"rows[{number}].method")
        fidelity = config.build("fidelity", row.fidelity, where=f"rows[{number}].fidelity")
        plans.append(Plan(row, method, fidelity))
    return plans


@dataclass(frozen=True)
class Bench:
    """What the tasks of a benchmark share: recording, encoders, clips and neuron sets, read when first needed."""

    settings: Settings
    plans: list[Plan]
    progress: bool = False
    scorers: dict[int, Judge] = field(default_factory=dict)

    @cached_property
    def device(self) -> torch.device:
        """The device on which movies are optimised."""
        return resolve_device(self.settings.device)

    @cached_property
    def recording(self) -> SensoriumRecording:
        """The recording; simulated now if its folder is absent and the configuration says how."""
        path, wanted = self.settings.recording, self.settings.simulate
        if wanted is not None:
            make_recording(path, wanted, progress=self.progress and sys.stderr.isatty())
        return open_recording(path)

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """Masks `[N]` of the fit, selection and report neurons."""
        shares = self.settings.neurons
        return neuron_sets(self.recording.unit_ids, selection=shares.selection, report=shares.report, seed=shares.seed)

    @cached_property
    def batches(self) -> list[Batch]:
        """The clips, in batches of equal length."""
        return batches(self.recording, choose_clips(self.recording, self.settings.clips), size=self.settings.batch)

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders that some row uses, checked against the recording and frozen."""
        used = dict.fromkeys(name for entry in self.plans for name in self.settings.names(entry.row))
        return {name: self._encoder(self.settings.encoders[name], f"encoders.{name}") for name in used}

    @cached_property
    def judge(self) -> Encoder | None:
        """The encoder that judges, or none."""
        return None if self.settings.judge is None else self._encoder(self.settings.judge, "judge")

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hashes of the encoders' parameters by name."""
        return {name: state_hash(encoder) for name, encoder in self.encoders.items()}

    @cached_property
    def mask(self) -> Tensor | None:
        """The transparency mask `[H,W]`, with the border of a published one, or none."""
        chosen = self.settings.mask
        return None if chosen is None else read_mask(chosen.file, self.recording.frame_size, border=True)

    @cached_property
    def common(self) -> dict[str, Any]:
        """What decides the results of all tasks alike."""
        settings = self.settings
        return {
            "recording": self.recording.fingerprint(),
            "judge": None if self.judge is None else state_hash(self.judge),
            "frames": asdict(settings.frames),
            "pixels": settings.pixels,
            "matched": settings.matched,
            "mask": None if self.mask is None else [repr(settings.mask), self.mask.tolist()],
            "poolings": repr(dict(settings.poolings)),
            "neurons": asdict(settings.neurons),
            "seed": settings.seed,
            "window": settings.window,
            "precision": [settings.precision, settings.compile],
        }

    def scorer(self, batch: Batch) -> Judge:
        """Return what scores a batch, the same for all rows."""
        if id(batch) not in self.scorers:
            self.scorers[id(batch)] = make_judge(self.settings, batch, sets=self.sets, judge=self.judge)
        return self.scorers[id(batch)]

    def _encoder(self, tree: Mapping[str, Any], where: str) -> Encoder:
        arithmetic = Arithmetic(self.device, self.settings.precision, self.settings.compile)
        return ready_encoder(tree, self.recording, arithmetic, where=where)


@dataclass(frozen=True)
class Task:
    """One row of the table on one batch of clips."""

    bench: Bench
    plan: Plan
    batch: Batch

    @cached_property
    def key(self) -> str:
        """Hash of all that decides the result."""
        row, encoders = self.plan.row, self.encoders
        own = {
            "clips": [(clip.trial.index, clip.repeats) for clip in self.batch.clips],
            "label": row.label,
            "method": repr(self.plan.method),
            "fidelity": repr(self.plan.fidelity),
            "encoders": [(name, self.bench.hashes[name]) for name in encoders],
            "condition": row.condition,
            "strangers": [trial.index for trial in self.batch.strangers if row.condition == "wrong_clip"],
            "bins": row.bins,
            "population": repr(row.population),
            "code": code_version(*modules_of(self.plan.method, self.plan.fidelity, *encoders.values()), *ENGINE),
        }
        return digest(self.bench.common | own)

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders of the row by name."""
        return {name: self.bench.encoders[name] for name in self.bench.settings.names(self.plan.row)}

    @cached_property
    def left_out(self) -> Tensor:
        """Mask `[N]` of the neurons that the row's population lacks."""
        bench, chosen = self.bench, self.plan.row.population
        return left_out_neurons(bench.sets, bench.recording.unit_ids, share=chosen.share, seed=chosen.seed)

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """The bench's sets of neurons for this row: what it lacks is neither fitted nor shown, as *report* neurons."""
        sets = self.bench.sets
        if self.plan.row.population.silent:
            return sets
        return sets | {"fit": sets["fit"] & ~self.left_out, "report": sets["report"] | self.left_out}

    def run(self, store: Store, *, title: str = "") -> Reconstruction:
        """Reconstruct the batch, score it and publish the result."""
        name = folder_name(self.plan.row.label)
        if len(self.bench.batches) > 1:
            name += f"/from trial {self.batch.trials[0].index}"
        places = Places(store.partial(self.key), store.root / "tensorboard" / name)
        method, problem = self.method(), self.pose()
        with self._watch(places, title) as watch:
            seed = self.bench.settings.seed
            result = reconstruct(method, problem, seed=seed, trace=watch, checkpoint=places.checkpoint)
        self._write(places.task, result, problem)
        store.publish(self.key, drop=[places.checkpoint.name])
        return result

    def method(self) -> Method:
        """Return the method, fitted on the training trials where it learns."""
        neurons, artefacts = self.sets["fit"], self.bench.settings.artefacts
        recording, frames = self.bench.recording, self.batch.frames
        return fitted(self.plan.method, recording, neurons=neurons, artefacts=artefacts, frames=frames)

    def pose(self) -> Problem:
        """Return the problem of the row's condition, with its fidelity fitted."""
        bench, row, settings = self.bench, self.plan.row, self.bench.settings
        fidelity = fit_fidelity(
            self.plan.fidelity,
            bench.recording,
            self.encoders,
            sets=self.sets,
            frames=self.batch.frames,
            bins=row.bins,
            artefacts=settings.artefacts,
            hashes={name: bench.hashes[name] for name in self.encoders},
            window=settings.window,
        )
        return pose(
            self.batch,
            row.condition,
            list(self.encoders.values()),
            fidelity=fidelity.to(bench.device),
            sets=self.sets,
            silent=self.left_out if row.population.silent else None,
            pixels=None if settings.mask is None or bench.mask is None else bench.mask >= settings.mask.update,
            acquisition=binning(bench.recording, frames=self.batch.frames, bins=row.bins),
            device=bench.device,
            window=settings.window,
        )

    def rows(self, result: Reconstruction, problem: Problem) -> list[dict[str, Any]]:
        """Return one row of the table per clip, with the reason of every undefined score."""
        scorer, movie, row = self.bench.scorer(self.batch), result.movie.cpu(), self.plan.row
        judged, about = scorer.judge_scores(movie, repeats=row.condition in JUDGED_ANEW)
        names = "+".join(self.encoders)
        scores = scorer.movie_scores(movie) | scorer.response_scores(movie, problem) | judged
        scores |= scorer.heldout_scores(movie, list(self.encoders.values()), key=names)
        return [
            self._about(result, clip)
            | {name: float(values[clip]) for name, values in scores.items()}
            | {"message": "; ".join(filter(None, [result.message, about, *undefined(scores, clip)]))}
            for clip in range(len(movie))
        ]

    def _about(self, result: Reconstruction, clip: int) -> dict[str, Any]:
        row, trial = self.plan.row, self.batch.trials[clip]
        # A decoder asks the encoder once, for the misfit that it reports; whatever asks more often was led by it.
        led = result.evaluations > 1.5 and any(encoder.spec.behavior for encoder in self.encoders.values())
        return {
            "recording": self.bench.recording.name,
            "trial": trial.index,
            "video_id": trial.video_id,
            "method": row.label,
            "encoder": "+".join(self.encoders),
            "fidelity": str(row.fidelity["name"]),
            "bins": row.bins,
            "neurons": int((self.bench.sets["fit"] & ~self.left_out).sum()),
            "seed": self.bench.settings.seed,
            "condition": row.condition,
            "status": result.status,
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "seconds": result.seconds,
            "behavior": led,
            "oracle": row.condition in ("predicted", "noise_free"),
        }

    def _watch(self, places: Places, title: str) -> Watch:
        settings, recording, scorer = self.bench.settings, self.bench.recording, self.bench.scorer(self.batch)
        return Watch(
            places,
            GroundTruth(self.batch.movie, settings.frames.warmup, settings.frames.tail, scorer.pixels),
            labels=[f"trial {trial.index}" for trial in self.batch.trials],
            frame_rate=recording.frame_rate,
            every=settings.trace_every,
            title=f"{title} {self.plan.row.label}",
            total=planned_iterations(self.plan.method),
            progress=self.bench.progress,
        )

    def _write(self, folder: Path, result: Reconstruction, problem: Problem) -> None:
        movie = result.movie.cpu()
        described = asdict(self.plan.row) | {"seed": self.bench.settings.seed}
        write_bytes(folder / "config.yaml", to_yaml(described))
        write_bytes(folder / "movie.h5", movie_file(self.batch, movie))
        write_json(folder / "curves.json", self.bench.scorer(self.batch).curves(movie))
        write_json(folder / "row.json", {"rows": self.rows(result, problem)})
