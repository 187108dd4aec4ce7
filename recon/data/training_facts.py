"""What training and validation trials offer, from single rows of their arrays: no array is read whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recon.data.layout import MAX_FRAMES, TRAIN, VALIDATION, VARIABLES, Array, data_file, load_array, padded_from
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
        return tuple(index for index in self.recording.trials(TRAIN) if not responded(self.recording, index))

    @cached_property
    def validation(self) -> tuple[int, ...]:
        """Valid frames of the validation trials with responses."""
        trials = [index for index in self.recording.trials(VALIDATION) if responded(self.recording, index)]
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
    """Return the number of valid frames of a trial, by the first row of each of its arrays.

    Padding (NaN) covers all rows alike; reading the trial checks that.
    """
    files = {name: data_file(recording.path, name, index) for name in VARIABLES}
    arrays = [_mapped(recording, name, index) for name, file in files.items() if name == "videos" or file.exists()]
    return min(min(padded_from(array[(0,) * (array.ndim - 1)]), MAX_FRAMES) for array in arrays)


def responded(recording: SensoriumRecording, index: int) -> bool:
    """Return whether a trial has responses, as `has_responses` does; reading ends at the first row that is not zero."""
    if not data_file(recording.path, "responses", index).exists():
        return False
    return any(bool(np.nan_to_num(row).any()) for row in _mapped(recording, "responses", index))


def _mapped(recording: SensoriumRecording, variable: str, index: int) -> Array:
    file = data_file(recording.path, variable, index)
    array = load_array(file, mapped=True)
    if array.ndim < 2 or not array.size:
        raise InputError(
            f"{file}: expected an array with time as its last axis, got shape {array.shape}; copy the recording again"
        )
    return array
