"""Other animals that saw the clips of a benchmark, whose activity is fitted together with its own animal's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from recon.data.measurement import Bins, binning
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Encoder
from recon.encoders.identity import state_hash
from recon.errors import InputError
from recon.problem.clips import Batch, Clip
from recon.problem.conditions import Condition, measured
from recon.problem.fidelities.base import Likelihood
from recon.problem.fit import fit_fidelity
from recon.problem.problem import Observation
from recon.types import Trial


@dataclass(frozen=True)
class Animal:
    """Another animal: its recording, frozen encoder and sets of neurons."""

    name: str
    recording: SensoriumRecording
    encoder: Encoder
    sets: Mapping[str, Tensor]

    @cached_property
    def hash(self) -> list[str]:
        """Hashes for keys: name, recording and encoder."""
        return [self.name, self.recording.fingerprint(), state_hash(self.encoder)]

    def batch(self, batch: Batch) -> Batch:
        """Return the clips and strangers of a batch as recorded in this animal; raises InputError for missing ones.

        Videos match by name and by every pixel.
        """
        clips = tuple(self._shown(trial) for trial in batch.trials)
        return Batch(self.recording, clips, tuple(self._shown(trial).trial for trial in batch.strangers))

    def fitted(self, fidelity: Likelihood, *, frames: int, bins: Bins, artefacts: Path, window: int = 0) -> Likelihood:
        """Return the fidelity with noise fitted to this animal."""
        return fit_fidelity(
            fidelity,
            self.recording,
            {self.name: self.encoder},
            sets=self.sets,
            frames=frames,
            bins=bins,
            artefacts=artefacts,
            hashes={self.name: self.hash[-1]},
            window=window,
        )

    def observations(
        self, batch: Batch, condition: Condition, fidelity: Likelihood, *, bins: Bins, device: torch.device, window: int
    ) -> list[Observation]:
        """Return this animal's observations of the clips of a batch, one per presentation."""
        found = measured(
            self.batch(batch),
            condition,
            self.encoder,
            self.sets,
            unseen=self.sets["report"],
            acquisition=binning(self.recording, frames=batch.frames, bins=bins),
            window=window,
        )
        misfit = fidelity.to(device)
        return [Observation(self.encoder, seen.to(device), 1.0, misfit, self.name) for seen in found]

    def _shown(self, wanted: Trial) -> Clip:
        named = [index for index, name in enumerate(self.recording.video_ids) if name == wanted.video_id]
        showings = [index for index in named if self.recording.has_responses(index)]
        trial = self.recording.trial(showings[0]) if showings else None
        if trial is None or not torch.equal(trial.movie, wanted.movie):
            got = "no trial of it" if trial is None else f"other pixels in its trial {trial.index}"
            raise InputError(
                f"animals.{self.name}: expected the video {wanted.video_id!r} of trial {wanted.index} in "
                f"{self.recording.path}, got {got}; choose clips that both animals saw"
            )
        return Clip(trial, tuple(showings[1:]))
