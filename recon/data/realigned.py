"""Correction of the clock of a recording: responses are read later or earlier, and trials cut where they have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from recon.data.duplicates.find import Progress
from recon.data.layout import ABSENT, Array, data_file, load_array
from recon.data.onsets import ONSETS, delay, session_onsets, successors
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError

FEWEST = 2
"""Frames that must be left of every trial."""
LONGEST = 60.0
"""Largest lag in seconds; a larger one is given in ms by mistake."""
SEQUENCES = ("responses", "rates")
"""Arrays of a trial that keep the clock of the responses; all others keep that of the movie."""


@dataclass(frozen=True)
class ClockCorrection:
    """Correction of a recording: responses are read `lag` seconds later, and `drift` ms more for every minute."""

    lag: Annotated[float, Field(ge=-LONGEST, le=LONGEST)] = 0.0
    drift: float = 0.0


@dataclass(frozen=True)
class Realignment:
    """The response to a frame at t seconds of the session is that recorded at t + lag + drift · t.

    `lag` in seconds, `drift` in ms per minute, `rate` in Hz; `whole`: shifts are rounded to whole frames, so that
    counts stay counts.
    """

    lag: float
    drift: float
    rate: float
    whole: bool = False

    def places(self, onset: float, frames: int) -> Array:
        """Return the frame `(T,)` of a trial with its onset in seconds at which the response to each frame is read.

        >>> Realignment(0.1, 0.0, 30.0).places(0.0, 3).tolist()
        [3.0, 4.0, 5.0]
        """
        late = delay(onset + np.arange(frames) / self.rate, lag=self.lag, drift=self.drift) * self.rate
        nearest = np.rint(late)
        found: Array = np.arange(frames) + np.where(self.whole | (np.abs(late - nearest) < 1e-6), nearest, late)
        return found


@dataclass(frozen=True)
class _Plan:
    """Trials to be written, and by index: length in frames, onset, places of responses, trials around, frames cut."""

    left: tuple[int, ...]
    lengths: Mapping[int, int]
    onsets: Mapping[int, float]
    places: Mapping[int, Array]
    around: Mapping[int, tuple[list[int], list[int]]]
    cuts: Mapping[int, tuple[int, int]]


def realigned(
    recording: SensoriumRecording,
    destination: Path | str,
    *,
    lag: float = 0.0,
    drift: float = 0.0,
    overwrite: bool = False,
    progress: Progress = iter,
) -> SensoriumRecording:
    """Write a copy of a recording whose responses are read `lag` seconds and `drift` ms per minute later; return it.

    Responses between frames are interpolated linearly; spikes are shifted by whole frames. Trials that follow one
    another without a break take missing responses from their neighbours; all others lose the same frames at both ends,
    so that repeats stay repeats. Movie and behavior keep their clock.
    """
    if recording.acquisition is not None:
        raise InputError(
            f"{recording.path}: expected responses sampled at the frames, got those of a slower scan, whose times "
            "would no longer hold; convert the source again with this lag"
        )
    plan = _planned(recording, Realignment(lag, drift, recording.frame_rate, recording.signal == "spikes"))
    lost = sum(min(sum(plan.cuts[i]), frames) for i, frames in plan.lengths.items())
    said = f"responses are read {lag:g} s and {drift:g} ms per minute later than in {recording.name}"
    begins = {i: onset + plan.cuts[i][0] / recording.frame_rate for i, onset in plan.onsets.items()}
    made_by = {name: value for name, value in recording.made_by.items() if name != "opened"}
    writer = RecordingWriter(
        destination,
        unit_ids=recording.unit_ids,
        coordinates=recording.coordinates,
        frame_rate=recording.frame_rate,
        degrees_per_pixel=recording.degrees_per_pixel,
        name=recording.name,
        signal=recording.signal,
        made_by={
            **made_by,
            "realigned": {"recording": recording.fingerprint(), "lag": lag, "drift": drift},
            ONSETS: [begins.get(i, 0.0) for i in range(plan.left[-1] + 1)],
            "notes": [*made_by.get("notes", []), f"{said}; {lost} frames at the ends of trials are left out"],
            "decided": {**made_by.get("decided", {}), "clock": said},
        },
        overwrite=overwrite,
    )
    with writer:
        _copy_population(writer, recording, trials=plan.left[-1] + 1)
        for i in progress(list(plan.left)):
            _write(writer, recording, i, plan)
    return SensoriumRecording(writer.destination)


def _planned(recording: SensoriumRecording, change: Realignment) -> _Plan:
    lengths = {i: recording.frames(i).shape[0] for i, tier in enumerate(recording.tiers) if tier != ABSENT}
    onsets, timed = session_onsets(recording, lengths)
    places = {i: change.places(onsets[i], frames) for i, frames in lengths.items()}
    before = max([0, *(int(np.ceil(-place[0])) for place in places.values())])
    after = max([0, *(int(np.ceil(places[i][-1])) - frames + 1 for i, frames in lengths.items())])
    pairs = successors(onsets, lengths, recording.frame_rate) if timed else {}
    following = {one: other for one, other in pairs.items() if recording.has_responses(other)}
    previous = {other: one for one, other in pairs.items() if recording.has_responses(one)}
    around = {i: (_chain(i, previous, lengths, before)[::-1], _chain(i, following, lengths, after)) for i in lengths}
    cuts = {i: (_missing(around[i][0], lengths, before), _missing(around[i][1], lengths, after)) for i in lengths}
    left = [i for i, frames in lengths.items() if frames - sum(cuts[i]) >= FEWEST]
    if not left or (len(left) < len(lengths) and not timed):
        raise InputError(
            f"lag: expected a shift of less than a trial, got one of up to {max(before, after)} frames for trials of "
            f"{min(lengths.values())} frames or more; convert the source again with this lag"
        )
    return _Plan(tuple(left), lengths, onsets, places, around, cuts)


def _chain(index: int, next_to: Mapping[int, int], lengths: Mapping[int, int], frames: int) -> list[int]:
    """Return the trials that follow one another from a trial on, in one direction, until they have so many frames."""
    found: list[int] = []
    while index in next_to and sum(lengths[i] for i in found) < frames:
        index = next_to[index]
        found.append(index)
    return found


def _missing(around: Sequence[int], lengths: Mapping[int, int], frames: int) -> int:
    return max(0, frames - sum(lengths[i] for i in around))


def _write(writer: RecordingWriter, recording: SensoriumRecording, index: int, plan: _Plan) -> None:
    first, end = plan.cuts[index][0], plan.lengths[index] - plan.cuts[index][1]
    arrays = recording.arrays(index)
    kept = {name: arrays[name][..., first:end] for name in ("behavior", "pupil_center") if name in arrays}
    known = SEQUENCES if recording.has_responses(index) else ()
    read = {name: _read(recording, name, index, plan) for name in known}
    writer.write_trial(
        index,
        tier=recording.tiers[index],
        video=np.moveaxis(arrays["videos"], -1, 0)[first:end],
        responses=read.get("responses"),
        rates=read.get("rates"),
        behavior=kept.get("behavior"),
        pupil_center=kept.get("pupil_center"),
        captions=recording.captions(index),
        scenes=[found for scene in recording.scenes(index) if (found := _moved(scene, first, end))],
    )


def _read(recording: SensoriumRecording, name: str, index: int, plan: _Plan) -> Array | None:
    """Return responses or rates `(N,T)` of the kept frames, at their places; None if the trial has none."""
    if not data_file(recording.path, name, index).exists():
        return None
    before, after = plan.around[index]
    parts = [_values(recording, name, i, plan.lengths[i]) for i in (*before, index, *after)]
    begin = sum(plan.lengths[i] for i in before)
    joined = np.concatenate(parts, axis=1)
    places = plan.places[index][plan.cuts[index][0] : plan.lengths[index] - plan.cuts[index][1]] + begin
    lower = np.clip(np.floor(places).astype(int), 0, joined.shape[1] - 1)
    upper = np.minimum(lower + 1, joined.shape[1] - 1)
    found: Array = joined[:, lower] + (places - lower) * (joined[:, upper] - joined[:, lower])
    return found


def _values(recording: SensoriumRecording, name: str, index: int, frames: int) -> Array:
    stored = load_array(data_file(recording.path, name, index))[recording.masked.kept]
    return np.asarray(stored[:, :frames], dtype=np.float64)


def _moved(scene: Mapping[str, Any], first: int, end: int) -> dict[str, Any]:
    """Return a scene with its frames counted from `first`, cut at `end`; empty if nothing of it is left."""
    begin, stop = max(scene["first"] - first, 0), min(scene["end"], end) - first
    return {**scene, "first": begin, "end": stop} if begin < stop else {}


def _copy_population(writer: RecordingWriter, recording: SensoriumRecording, *, trials: int) -> None:
    if recording.areas:
        writer.write_areas(recording.areas)
    if any(recording.stimuli):
        writer.write_stimuli(recording.stimuli[:trials])
    for file in sorted((recording.path / "meta/truth").glob("*.npy")):
        truth, count = load_array(file), len(recording.all_unit_ids)
        writer.write_truth(file.stem, truth[recording.masked.kept] if truth.shape[:1] == (count,) else truth)
