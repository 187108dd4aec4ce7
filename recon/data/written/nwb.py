"""A recording as an NWB file: movie, responses, neurons, behavior and trials on one clock, read back frame by frame.

Every stream is sampled at the frames of the movie, so nothing is resampled. The movie is stored by frame, row and
column. A trial without responses or behavior has no samples of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.duplicates.find import Progress
from recon.data.layout import Array, content_id, data_file, grey_levels, load_array
from recon.data.sensorium import SensoriumRecording
from recon.data.written.header import header_of
from recon.data.written.nwb_file import (
    NwbSession,
    check_nwb,
    facts_table,
    flat,
    new_nwb,
    streamed,
    table,
    timing,
    write_nwb,
)
from recon.data.written.trials import STREAMS, all_neurons, left_out, pause_frames, timed_trials
from recon.errors import InputError

MODULES = {"spikes": "ecephys", "deconvolved": "ophys", "calcium": "ophys", "": "misc"}
"""Processing module of the responses by signal."""
UNITS = {"pupil_dilation": "pixels", "running_speed": "cm/s", "pupil_x": "pixels", "pupil_y": "pixels"}


@dataclass(frozen=True)
class TrialInFile:
    """A trial of the file: frames [first, first + frames) of its clock."""

    index: int
    tier: str
    first: int
    frames: int
    content: str
    responded: bool

    @property
    def clock(self) -> Array:
        """Return the numbers of the frames `(T,)`."""
        return np.arange(self.first, self.first + self.frames)


def write(
    recording: SensoriumRecording, destination: Path, session: NwbSession, *, overwrite: bool, progress: Progress
) -> list[str]:
    """Write an NWB file; return sentences about what it does not hold and what is unknown."""
    check_nwb(destination, overwrite=overwrite)
    trials, rounded = list[TrialInFile](), 0
    behavior: dict[str, list[tuple[int, Array]]] = {name: [] for name in STREAMS}
    for trial in timed_trials(recording, progress):
        known = trial.index, trial.tier, trial.first, trial.frames, content_id(trial.movie)
        trials.append(TrialInFile(*known, responded=trial.responses is not None))
        found = {name: trial.stream(name) for name in STREAMS}
        for name, values in found.items():
            behavior[name] += [] if values is None else [(trial.first, np.asarray(values))]
        rounded += trial.rounded
    if not any(trial.responded for trial in trials):
        raise InputError(f"{recording.path}: expected responses in a trial, got none; convert to sensorium2023 instead")
    file = new_nwb(
        session,
        name=recording.name,
        identifier=f"{recording.name}-{recording.fingerprint()}".replace("/", "-"),
        about=f"Recording {recording.name}: responses to movies ({recording.activity}), written by recon. "
        f"Trials follow each other with pauses of {pause_frames(recording)} frames; their true distances are unknown.",
        activity=recording.activity,
    )
    file.add_stimulus(_movie(recording, trials))
    _add_responses(file, recording, trials)
    _add_behavior(file, behavior, recording.frame_rate)
    _add_trials(file, recording, trials)
    facts = header_of(recording)
    file.add_analysis(facts_table(flat({**facts, "activity": recording.activity})))
    write_nwb(destination, file)
    notes = [f"{rounded} videos: frames are rounded to whole grey levels"] * bool(rounded)
    unknown = ["the date of the session is unknown: 1970-01-01 stands for it (--start)"] * (session.start is None)
    return [*notes, *unknown, *left_out(recording)]


def _movie(recording: SensoriumRecording, trials: Sequence[TrialInFile]) -> Any:
    from pynwb.image import ImageSeries

    height, width = recording.frame_size
    return ImageSeries(
        name="movie",
        data=streamed(_frames(recording, trials), (height, width)),
        unit="grey level",
        dimension=[height, width],
        description=f"Frames shown, by frame, row and column: grey levels 0 (black) to 255 (white), "
        f"{recording.frame_rate:g} Hz, {recording.degrees_per_pixel:g} degrees per pixel.",
        **timing(_clock(trials, recording.frame_rate), recording.frame_rate),
    )


def _frames(recording: SensoriumRecording, trials: Sequence[TrialInFile]) -> Iterator[Array]:
    for trial in trials:
        yield from grey_levels(np.moveaxis(_stored(recording, "videos", trial), -1, 0))


def _samples(recording: SensoriumRecording, trials: Sequence[TrialInFile]) -> Iterator[Array]:
    for trial in trials:
        yield from _stored(recording, "responses", trial).T.astype(np.float32)


def _stored(recording: SensoriumRecording, variable: str, trial: TrialInFile) -> Array:
    return load_array(data_file(recording.path, variable, trial.index), mapped=True)[..., : trial.frames]


def _clock(trials: Sequence[TrialInFile], rate: float) -> Array:
    return np.concatenate([trial.clock for trial in trials]) / rate


def _add_responses(file: Any, recording: SensoriumRecording, trials: Sequence[TrialInFile]) -> None:
    from pynwb import TimeSeries

    answered, neurons = [trial for trial in trials if trial.responded], all_neurons(recording)
    module = file.create_processing_module(MODULES[recording.signal], "Responses of the neurons at the movie's frames.")
    module.add(
        TimeSeries(
            name="responses",
            data=streamed(_samples(recording, answered), (len(neurons.unit_ids),)),
            unit="a.u.",
            description=f"Responses by frame and neuron, in the order of the table `neurons`; "
            f"signal: {recording.signal or 'unknown'}.",
            **timing(_clock(answered, recording.frame_rate), recording.frame_rate),
        )
    )
    places = {f"{axis}_um": neurons.coordinates[:, column] for column, axis in enumerate("xyz")}
    columns: dict[str, tuple[str, Sequence[Any] | Array]] = {
        "unit_id": ("Number of the neuron in its recording.", neurons.unit_ids),
        **{name: (f"Position along {name[0]} in micrometres.", values) for name, values in places.items()},
        **({"area": ("Cortical area.", neurons.areas)} if neurons.areas else {}),
    }
    module.add(table("neurons", "Neurons, in the order of the columns of `responses`.", columns))


def _add_behavior(file: Any, behavior: dict[str, list[tuple[int, Array]]], rate: float) -> None:
    from pynwb import TimeSeries

    known = {name: parts for name, parts in behavior.items() if parts}
    if not known:
        return
    module = file.create_processing_module("behavior", "Behavior at the movie's frames.")
    for name, parts in known.items():
        clock = np.concatenate([first + np.arange(len(values)) for first, values in parts]) / rate
        values = np.concatenate([values for _, values in parts]).astype(np.float32)
        about = f"{name.replace('_', ' ').capitalize()} as recorded; the unit is the field's convention."
        module.add(TimeSeries(name=name, data=values, unit=UNITS[name], description=about, **timing(clock, rate)))


def _add_trials(file: Any, recording: SensoriumRecording, trials: Sequence[TrialInFile]) -> None:
    columns = {
        "tier": "Training, validation or test set, by the names of Sensorium 2023.",
        "content": "Content hash of the movie; equal for repeats.",
        "trial_index": "Number of the trial in its recording.",
        "has_responses": "Whether the responses of the trial are in the file.",
        "caption": "What the movie shows; empty if unknown.",
    }
    for name, about in columns.items():
        file.add_trial_column(name=name, description=about)
    for trial in trials:
        file.add_trial(
            start_time=trial.first / recording.frame_rate,
            stop_time=(trial.first + trial.frames) / recording.frame_rate,
            tier=trial.tier,
            content=trial.content,
            trial_index=trial.index,
            has_responses=trial.responded,
            caption=next(iter(recording.captions(trial.index)), ""),
        )
