"""Trials of a recording on one clock: one after the other, with a pause in between."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recon.data.duplicates.find import Progress
from recon.data.header import read_neurons
from recon.data.layout import ABSENT, Array, data_file, grey_levels, load_array
from recon.data.sensorium import SensoriumRecording

PAUSE = 0.5
"""Seconds between two trials; their true distance in time is unknown."""
STREAMS = {
    "pupil_dilation": ("behavior", 0),
    "running_speed": ("behavior", 1),
    "pupil_x": ("pupil_center", 0),
    "pupil_y": ("pupil_center", 1),
}
"""Variable and row of every behavior stream."""


@dataclass(frozen=True)
class TimedTrial:
    """A trial and its frames [first, first + frames) on the clock of the written file; withheld arrays are absent."""

    index: int
    tier: str
    first: int
    frames: int
    arrays: dict[str, Array]

    @property
    def movie(self) -> Array:
        """Return the frames `(T,H,W)`, uint8."""
        return np.ascontiguousarray(grey_levels(np.moveaxis(self.arrays["videos"], -1, 0)))

    @property
    def rounded(self) -> bool:
        """Whether frames between two grey levels are rounded."""
        return not np.array_equal(self.movie, np.moveaxis(self.arrays["videos"], -1, 0))

    def stream(self, name: str) -> Array | None:
        """Return a behavior stream `(T,)`, None if the trial has none."""
        variable, row = STREAMS[name]
        return self.arrays[variable][row] if variable in self.arrays else None

    @property
    def responses(self) -> Array | None:
        """Return the responses `(T,N)`, None if they were withheld."""
        return self.arrays["responses"].T if "responses" in self.arrays else None


@dataclass(frozen=True)
class AllNeurons:
    """All neurons of the files, masked ones included: unit ids `(N,)`, coordinates `(N,3)` in µm, areas if known."""

    unit_ids: Array
    coordinates: Array
    areas: tuple[str, ...]


def all_neurons(recording: SensoriumRecording) -> AllNeurons:
    """Return all neurons of a recording: a neuron with NaN in some frames is written as it is."""
    folder, count = recording.path / "meta/neurons", len(recording.all_unit_ids)
    coordinates = read_neurons(folder / "cell_motor_coordinates.npy", np.zeros((count, 3)), neurons=count)
    file, none = folder / "area.npy", np.array([""])
    areas = tuple(str(area) for area in read_neurons(file, none, neurons=count)) if file.exists() else ()
    return AllNeurons(np.asarray(recording.all_unit_ids), coordinates, areas)


def pause_frames(recording: SensoriumRecording) -> int:
    """Return the frames between two trials."""
    return max(math.ceil(PAUSE * recording.frame_rate), 1)


def timed_trials(recording: SensoriumRecording, progress: Progress) -> Iterator[TimedTrial]:
    """Yield all trials with files, in order, each checked as it is read."""
    first, pause = 0, pause_frames(recording)
    for index in progress([i for i, tier in enumerate(recording.tiers) if tier != ABSENT]):
        arrays = {name: array for name, array in recording.arrays(index).items() if name != "responses"}
        frames = int(arrays["videos"].shape[-1])
        if recording.has_responses(index):
            arrays["responses"] = load_array(data_file(recording.path, "responses", index))[:, :frames]
        yield TimedTrial(index, recording.tiers[index], first, frames, arrays)
        first += frames + pause


def left_out(recording: SensoriumRecording) -> list[str]:
    """Return a sentence for what a recording holds and other formats do not."""
    names = {
        "captions": "meta/trials/captions.jsonl",
        "acquisition times": "meta/neurons/plane.npy",
        "true parameters of the simulation": "meta/truth",
        "noise-free rates": "data/rates",
        "kinds of stimuli": "meta/trials/stimulus_ids.npy",
    }
    found = [name for name, place in names.items() if (recording.path / place).exists()]
    found += ["indices of trials without files"] * (ABSENT in recording.tiers)
    return [f"left out: {', '.join(found)}"] if found else []
