"""Shared by the tasks of a benchmark: planned rows, recording, encoders, clips, neuron sets."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recon import config
from recon.config.own_code import imported, is_reference
from recon.data.mask_files import read_mask
from recon.data.neuron_sets import neuron_sets
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.data.training_facts import TrainingFacts
from recon.encoders.base import Encoder, freeze, resolve_device
from recon.encoders.identity import state_hash
from recon.files import digest, file_hash
from recon.files.code_version import code_version
from recon.methods.base import Method
from recon.methods.named_files import content_named_in
from recon.metrics import METRICS
from recon.metrics.intervals.settings import check_count
from recon.problem.activity import Activity, with_activity
from recon.problem.animals import Animal
from recon.problem.calibration_clips import calibration_clips
from recon.problem.clips import Batch, batches, choose_clips, validation_clips
from recon.problem.fidelities.base import Likelihood
from recon.study.encoders import Arithmetic, ready_encoder
from recon.study.scorer import Scorer, make_scorer
from recon.study.settings import Named, OtherAnimal, Row, Settings

if TYPE_CHECKING:
    from recon.metrics.intervals.calibration import Calibration

INTERVALS = "recon.study.intervals"
"""Module that computes the intervals of tasks, where a run asks for them."""


@dataclass(frozen=True)
class Plan:
    """A row of the table with one of its seeds, its method and its fidelity; built before anything is read."""

    row: Row
    method: Method
    fidelity: Likelihood
    seed: int = 0


def plan(settings: Settings) -> list[Plan]:
    """Return the plans of all rows and seeds; raises InputError for a wrong name or type in any row."""
    rows = enumerate(settings.rows)
    return [one for number, row in rows for one in planned(row, where=f"rows[{number}]", seed=settings.seed)]


def planned(row: Row, *, where: str, seed: int) -> list[Plan]:
    """Return the plans of a row, one for each of its seeds; `seed` is that of the benchmark."""
    method = config.build("method", row.method, where=f"{where}.method")
    fidelity = config.build("fidelity", row.fidelity, where=f"{where}.fidelity")
    return [Plan(row, method, fidelity, own) for own in row.seeds or (seed,)]


@dataclass(frozen=True)
class Bench:
    """Shared by the tasks of a benchmark: recording, encoders, clips and neuron sets, each read when first needed."""

    settings: Settings
    plans: list[Plan]
    progress: bool = False
    scorers: dict[int, Scorer] = field(default_factory=dict)
    given: dict[tuple[int, Activity], Batch] = field(default_factory=dict)
    loaded: dict[str, Encoder] = field(default_factory=dict)
    met: dict[str, Animal] = field(default_factory=dict)
    calibrated: dict[str, Calibration] = field(default_factory=dict)
    """Calibrations of intervals by their identity, each read once."""

    def __post_init__(self) -> None:
        for name in (self.settings.device, *self.settings.devices):
            resolve_device(name)  # before a recording is simulated, which may take minutes
        self.settings.perceptual.prepare()

    @cached_property
    def device(self) -> torch.device:
        """The device on which movies are optimised."""
        return resolve_device(self.settings.device)

    @cached_property
    def devices(self) -> list[torch.device]:
        """The devices that share one task; empty for the device alone."""
        return [resolve_device(name) for name in self.settings.devices]

    @cached_property
    def recording(self) -> SensoriumRecording:
        """The recording; simulated if its folder is absent and the configuration has `simulate`."""
        return self._recording(self.settings.recording, self.settings.simulate)

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """Masks `[N]` of the fit, selection and report neurons."""
        return self._sets(self.recording)

    @cached_property
    def batches(self) -> list[Batch]:
        """The clips, in batches of equal length."""
        return batches(self.recording, choose_clips(self.recording, self.settings.clips), size=self.settings.batch)

    @cached_property
    def validation(self) -> list[Batch]:
        """Validation clips, for methods that learn the errors of another one."""
        return batches(self.recording, validation_clips(self.recording), size=self.settings.batch)

    @cached_property
    def calibration(self) -> list[Batch]:
        """Clips that calibrate the intervals of every row; none where no intervals are asked for."""
        chosen = self.settings.intervals
        if chosen is None:
            return []
        scored = [clip for batch in self.batches for clip in batch.clips]
        found = calibration_clips(
            self.recording, tier=chosen.tier, count=chosen.count, trials=chosen.trials, scored=scored
        )
        check_count(len(found), chosen.calibration)
        return batches(self.recording, found, size=self.settings.batch)

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders that the rows use, checked against the recording and frozen."""
        return {name: self.encoder(name) for name in self.used_encoders}

    @cached_property
    def animals(self) -> dict[str, Animal]:
        """The other animals that the rows use."""
        return {name: self.animal(name) for name in self.used_animals}

    @property
    def used_encoders(self) -> tuple[str, ...]:
        """Names of the encoders that the rows use."""
        return tuple(dict.fromkeys(name for entry in self.plans for name in self.settings.names(entry.row)))

    @property
    def used_animals(self) -> tuple[str, ...]:
        """Names of the other animals that the rows use."""
        return tuple(dict.fromkeys(name for entry in self.plans for name in entry.row.animals))

    @cached_property
    def facts(self) -> TrainingFacts:
        """What the training trials offer."""
        return TrainingFacts(self.recording)

    @cached_property
    def judge(self) -> Encoder | None:
        """The judge encoder, or None."""
        return None if self.settings.judge is None else self._encoder(self.settings.judge, "judge")

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hashes of the encoders' specs and parameters, by name."""
        return {name: state_hash(encoder) for name, encoder in self.encoders.items()}

    @cached_property
    def mask(self) -> Tensor | None:
        """The transparency mask `[H,W]` with the published border, or None."""
        chosen = self.settings.mask
        return None if chosen is None else read_mask(chosen.file, self.recording.frame_size, border=True)

    @cached_property
    def common(self) -> dict[str, Any]:
        """The part of a task's key that all tasks share."""
        settings = self.settings
        asked = settings.intervals
        intervals = {} if asked is None else {"intervals": [repr(asked), code_version(INTERVALS)]}
        perceived: dict[str, Any] = {"weights": found} if (found := self._weights()) else {}
        if settings.perceptual.scores:  # a reconstruction is identified among all clips of the table
            trials = [trial.index for batch in self.batches for trial in batch.trials]
            perceived |= {"perceptual": repr(settings.perceptual), "gallery": trials}
        return {
            "recording": self.recording.fingerprint(),
            "judge": None if self.judge is None else state_hash(self.judge),
            "frames": asdict(settings.frames),
            "region": settings.region,
            "matched": settings.matched,
            "mask": None if self.mask is None else [repr(settings.mask), self.mask.tolist()],
            "poolings": repr(dict(settings.poolings)),
            "neurons": asdict(settings.neurons),
            "window": settings.window,
            "precision": [settings.precision, settings.compile],
            **perceived,
            **intervals,
        }

    def encoder(self, name: str) -> Encoder:
        """Return an encoder of the settings, checked against the recording and frozen."""
        if name not in self.loaded:
            self.loaded[name] = self._encoder(self.settings.encoders[name], f"encoders.{name}")
        return self.loaded[name]

    def animal(self, name: str) -> Animal:
        """Return another animal of the settings, its encoder checked against its recording."""
        if name not in self.met:
            self.met[name] = self._animal(name, self.settings.animals[name])
        return self.met[name]

    def shown(self, batch: Batch, activity: Activity) -> Batch:
        """Return a batch with an activity; only the last one, and its scorer, are kept: all would fill the memory."""
        if activity.recorded:
            return batch
        found = self.given.get((id(batch), activity))
        if found is None:
            for old in self.given.values():
                self.scorers.pop(id(old), None)
            self.given.clear()
            found = self.given[id(batch), activity] = with_activity(batch, activity)
        return found

    def scorer(self, batch: Batch) -> Scorer:
        """Return the scorer of a batch, shared by all rows that it is shown to."""
        if id(batch) not in self.scorers:
            own = {trial.index for trial in batch.trials}
            others = tuple(one for other in self.batches for one in other.trials if one.index not in own)
            made = make_scorer(self.settings, batch, sets=self.sets, judge=self.judge, others=others)
            self.scorers[id(batch)] = made
        return self.scorers[id(batch)]

    def _weights(self) -> dict[str, str]:
        """Return the hashes of the networks' weights, by network, of all scores of the run that have them here."""
        chosen = (one for one in METRICS.values() if not one.asked or one.name in self.settings.perceptual.scores)
        networks = {metric.network for metric in chosen if metric.network is not None}
        return {one.title: file_hash(path) for one in networks if (path := one.located()) is not None}

    def _encoder(self, tree: Named | Encoder, where: str, recording: SensoriumRecording | None = None) -> Encoder:
        arithmetic = Arithmetic(self.device, self.settings.precision, self.settings.compile)
        return ready_encoder(tree, recording or self.recording, arithmetic, where=where)

    def _recording(self, path: Path, wanted: Named | None) -> SensoriumRecording:
        if wanted is not None:
            make_recording(path, wanted, progress=self.progress and sys.stderr.isatty())
        return open_recording(path)

    def _sets(self, recording: SensoriumRecording) -> dict[str, Tensor]:
        shares = self.settings.neurons
        return neuron_sets(recording.unit_ids, selection=shares.selection, report=shares.report, seed=shares.seed)

    def _animal(self, name: str, chosen: OtherAnimal) -> Animal:
        recording = self._recording(chosen.recording, chosen.simulate)
        encoder = self._encoder(chosen.encoder, f"animals.{name}.encoder", recording)
        return Animal(name, recording, encoder, self._sets(recording))


def make_recording(path: Path, wanted: Mapping[str, Any], *, progress: bool) -> None:
    """Simulate the recording of a configuration if it is absent: of a planted population, or of an `encoder`."""
    from recon.simulate.encoded import EncodedSettings, show_to_encoder
    from recon.simulate.films import films_content
    from recon.simulate.recording import is_there, simulate
    from recon.simulate.settings import SimulationSettings

    if "encoder" not in wanted:
        simulate(path, config.record(SimulationSettings, wanted, where="simulate"), progress)
        return
    chosen = config.record(EncodedSettings, wanted, where="simulate")
    content = {**films_content(chosen.films), **encoder_content(chosen.encoder)}
    made_by = {"settings": json.loads(json.dumps(asdict(chosen), default=str)), "content": content}
    if not is_there(path, made_by):
        encoder: Encoder = config.build("encoder", chosen.encoder, where="simulate.encoder")
        show_to_encoder(path, chosen, freeze(encoder), made_by=made_by)


def encoder_content(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return {"encoder": hash of the files that its configuration names, and of a user's code}; empty for neither."""
    files, name = content_named_in(tree), str(tree.get("name"))
    if is_reference(name):
        imported(name)  # found in the current folder too
        files.append(code_version(name.partition(":")[0]))
    return {"encoder": digest(files)} if files else {}
