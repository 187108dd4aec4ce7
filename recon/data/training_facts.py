"""What training and validation trials offer, from single rows of their arrays: no array is read whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from recon.data.layout import TRAIN, VALIDATION, VARIABLES, Array, data_file, load_array
from recon.data.missing import recorded
from recon.data.missing import valid_frames as frames_before_padding
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError


@dataclass(frozen=True)
class TrainingFacts:
    """Lengths, responses and captions of the training and validation trials of a recording."""

    recording: SensoriumRecording

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Valid frames of the training trials."""
        return tuple(valid_frames(self.recording, index) for index in self.recording.trials(TRAIN))

    @cached_property
    def withheld(self) -> tuple[int, ...]:
        """Training trials without responses."""
        return tuple(index for index in self.recording.trials(TRAIN) if not self.recording.has_responses(index))

    @cached_property
    def validation(self) -> tuple[int, ...]:
        """Valid frames of the validation trials with responses."""
        trials = [index for index in self.recording.trials(VALIDATION) if self.recording.has_responses(index)]
        return tuple(valid_frames(self.recording, index) for index in trials)

    @cached_property
    def captioned(self) -> bool:
        """True if any training trial has captions."""
        known = self.recording
        return any(known.captions(index) or known.scenes(index) for index in known.trials(TRAIN))

    def read(self) -> TrainingFacts:
        """Return these facts, all of them read; raises InputError for a damaged file."""
        for name in ("lengths", "withheld", "validation", "captioned"):
            getattr(self, name)
        return self


def valid_frames(recording: SensoriumRecording, index: int) -> int:
    """Return the number of valid frames of a trial, by one row of each of its arrays that holds no NaN but padding.

    Reading the trial checks all rows.
    """
    files = {name: data_file(recording.path, name, index) for name in VARIABLES}
    there = [name for name, file in files.items() if name == "videos" or file.exists()]
    there = [name for name in there if name != "responses" or recorded(files[name])]
    return frames_before_padding({files[name]: _one_row(recording, name, index) for name in there})


def _one_row(recording: SensoriumRecording, variable: str, index: int) -> Array:
    array = _mapped(recording, variable, index)
    known = recording.all_unit_ids.index(recording.unit_ids[0]) if variable == "responses" else 0
    row: Array = array[(min(known, len(array) - 1), *(0,) * (array.ndim - 2))][None]
    return row


def _mapped(recording: SensoriumRecording, variable: str, index: int) -> Array:
    file = data_file(recording.path, variable, index)
    array = load_array(file, mapped=True)
    if array.ndim < 2 or not array.size:
        raise InputError(
            f"{file}: expected an array with time as its last axis, got shape {array.shape}; copy the recording again"
        )
    return array
