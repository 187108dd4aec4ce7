"""A recording as an experanto folder: a screen of videos and blanks, responses, treadmill and eye tracker.

All streams are sampled at the frames, so nothing is resampled. Between two trials the screen is blank and the streams
are NaN, as they are where a trial's responses were withheld or its behavior is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

from recon.data.duplicates.find import Progress
from recon.data.header import HEADER_FILE
from recon.data.layout import TEST, TRAIN, VALIDATION, Array, content_id, data_file, save_array
from recon.data.sensorium import SensoriumRecording
from recon.data.written.folders import new_folder, write_text
from recon.data.written.header import header_of
from recon.data.written.trials import TimedTrial, all_neurons, left_out, pause_frames, timed_trials
from recon.errors import InputError
from recon.files import replacing

KIND = "experanto folder"
OWN = re.compile(
    r"screen/data/\d{5}\.npy|screen/(combined_meta\.json|timestamps\.npy)|(.+/)?meta\.yml|(.+/)?meta/\w+\.(npy|yml|json)"
    r"|\w+/data\.mem|(.+/)?\.(recon\.json|DS_Store|lock)"
)
"""Names of the files of an experanto folder."""
TIER_NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
"""Tiers by experanto's words; other tiers keep their names."""
BEHAVIOR = {"treadmill": ("running_speed",), "eye_tracker": ("pupil_dilation", "pupil_x", "pupil_y")}
GREY = 127.5
"""Grey level of the blanks."""
EARLY = 1e-4
"""Seconds by which samples begin before their frames: experanto rounds times down, and must not find the one before."""
MOST = 50_000
"""Most trials: each takes two of the five-digit numbers of a screen's entries."""


@dataclass
class SampleMoments:
    """Running mean and standard deviation of samples `(T, *shape)`; NaN samples are left out."""

    count: Any = 0
    total: Any = 0.0
    square: Any = 0.0

    def add(self, samples: Array) -> None:
        """Count samples."""
        values = np.asarray(samples, dtype=np.float64)
        known = np.isfinite(values)
        values = np.where(known, values, 0)
        self.count, self.total = self.count + known.sum(0), self.total + values.sum(0)
        self.square = self.square + (values**2).sum(0)

    def save(self, folder: Path) -> None:
        """Write means.npy and stds.npy; a mean of nothing is NaN."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.asarray(self.total / self.count)
            deviation = np.sqrt(np.maximum(self.square / self.count - mean**2, 0))
        save_array(folder / "meta/means.npy", mean.astype(np.float32))
        save_array(folder / "meta/stds.npy", deviation.astype(np.float32))


@dataclass
class StreamFile:
    """A stream that is written sample by sample: `target` is the open data.mem of `folder`."""

    folder: Path
    signals: int
    target: IO[bytes]
    samples: int = 0
    moments: SampleMoments = field(default_factory=SampleMoments)

    def append(self, values: Array | None, *, frames: int, pause: int, counts: bool) -> None:
        """Write the samples `(T,n)` of a trial, NaN for None, and NaN for the pause; `counts`: as training data."""
        known = np.full((frames, self.signals), np.nan) if values is None else values
        gap = np.full((pause, self.signals), np.nan)
        self.target.write(np.concatenate([known, gap]).astype(np.float32).tobytes())
        self.samples += frames + pause
        if values is not None and counts:
            self.moments.add(values)

    def finish(self, rate: float) -> None:
        """Write the description and the moments."""
        about = {
            "modality": "sequence",
            "start_time": -EARLY,
            "end_time": self.samples / rate - EARLY,
            "sampling_rate": float(rate),
            "n_signals": self.signals,
            "n_timestamps": self.samples,
            "dtype": "float32",
            "is_mem_mapped": True,
            "phase_shift_per_signal": False,
        }
        write_text(self.folder / "meta.yml", yaml.safe_dump(about))
        self.moments.save(self.folder)


def write(recording: SensoriumRecording, destination: Path, *, overwrite: bool, progress: Progress) -> list[str]:
    """Write an experanto folder; return sentences about what it does not hold."""
    if len(recording.tiers) > MOST:
        raise InputError(
            f"{recording.path}: expected at most {MOST} trials for an experanto folder, got {len(recording.tiers)}; "
            "convert to nwb instead"
        )
    with new_folder(destination, KIND, OWN, overwrite=overwrite) as folder:
        rounded = _write_trials(recording, folder, progress)
        _neurons(recording, folder / "responses/meta")
        write_text(folder / HEADER_FILE, json.dumps(header_of(recording), indent=2, ensure_ascii=False) + "\n")
    note = f"{rounded} videos: frames are rounded to whole grey levels"
    return [note] * bool(rounded) + left_out(recording)


def _write_trials(recording: SensoriumRecording, folder: Path, progress: Progress) -> int:
    rate, pause = recording.frame_rate, pause_frames(recording)
    training = TRAIN if TRAIN in recording.tiers else ""
    entries: dict[str, dict[str, Any]] = {}
    clock: list[Array] = []
    shown, rounded = SampleMoments(), 0
    with ExitStack() as stack:
        streams = {name: _open(folder / name, len(names), stack) for name, names in _streams(recording)}
        for trial in timed_trials(recording, progress):
            counts = not training or trial.tier == training
            entries |= _screen(folder / "screen", trial, recording, len(entries), sum(map(len, clock)))
            clock.append(np.append(trial.first + np.arange(trial.frames), trial.first + trial.frames) / rate)
            for name, file in streams.items():
                values = trial.responses if name == "responses" else _behavior(trial, BEHAVIOR[name])
                file.append(values, frames=trial.frames, pause=pause, counts=counts)
            if counts:
                shown.add(trial.movie)
            rounded += trial.rounded
    for file in streams.values():
        file.finish(rate)
    shown.save(folder / "screen")
    _finish_screen(folder / "screen", entries, np.concatenate(clock), recording)
    return rounded


def _open(folder: Path, signals: int, stack: ExitStack) -> StreamFile:
    return StreamFile(folder, signals, stack.enter_context(replacing(folder / "data.mem")))


def _streams(recording: SensoriumRecording) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the streams with their signals; those of behavior only if any trial has them."""
    yield "responses", recording.all_unit_ids
    trials = range(len(recording.tiers))
    for name, names in BEHAVIOR.items():
        variables = ("behavior",) if name == "treadmill" else ("behavior", "pupil_center")
        if any(data_file(recording.path, variable, i).exists() for variable in variables for i in trials):
            yield name, names


def _behavior(trial: TimedTrial, names: Sequence[str]) -> Array | None:
    """Return streams `(T,n)` of a trial, NaN where it has only some of them, None where it has none."""
    found = [trial.stream(name) for name in names]
    if all(values is None for values in found):
        return None
    return np.stack([np.full(trial.frames, np.nan) if values is None else values for values in found], 1)


def _screen(
    screen: Path, trial: TimedTrial, recording: SensoriumRecording, number: int, first: int
) -> dict[str, dict[str, Any]]:
    """Write the video of a trial and a blank after it as entries `number` and `number + 1`; return their metadata."""
    key, after = f"{number:05d}", f"{number + 1:05d}"
    save_array(screen / "data" / f"{key}.npy", trial.movie)
    size, tier = list(recording.frame_size), TIER_NAMES.get(trial.tier, trial.tier)
    video = {"modality": "video", "first_frame_idx": first, "num_frames": trial.frames, "image_size": size}
    video |= {"tier": tier, "trial": trial.index, "video_id": content_id(trial.movie)}
    blank = {"modality": "blank", "first_frame_idx": first + trial.frames, "image_size": size}
    blank |= {"tier": "blank", "interleave_value": GREY}
    return {key: video, after: blank}


def _finish_screen(
    screen: Path, entries: Mapping[str, Mapping[str, Any]], clock: Array, recording: SensoriumRecording
) -> None:
    for key, about in entries.items():
        write_text(screen / "meta" / f"{key}.yml", yaml.safe_dump(dict(about), allow_unicode=True))
    write_text(screen / "combined_meta.json", json.dumps(entries, ensure_ascii=False))
    save_array(screen / "timestamps.npy", clock)
    scale = {"frame_rate": float(recording.frame_rate), "degrees_per_pixel": float(recording.degrees_per_pixel)}
    write_text(screen / "meta.yml", yaml.safe_dump({"modality": "screen", **scale}))


def _neurons(recording: SensoriumRecording, folder: Path) -> None:
    neurons = all_neurons(recording)
    save_array(folder / "unit_ids.npy", neurons.unit_ids)
    save_array(folder / "cell_motor_coordinates.npy", neurons.coordinates)
    if neurons.areas:
        save_array(folder / "area.npy", np.array(neurons.areas))
