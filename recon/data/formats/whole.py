"""Sessions whose presentations are whole trials, sampled at the frames: copied to a recording without resampling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.duplicates.find import Progress
from recon.data.formats.clocks import responses_at
from recon.data.formats.session import Session, ShownStimulus, Spikes, Stream
from recon.data.layout import Array, grey_levels
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter

PUPIL_AND_RUNNING, PUPIL_CENTER = ("pupil_dilation", "running_speed"), ("pupil_x", "pupil_y")
"""Streams of the rows of a recording's variables `behavior` and `pupil_center`."""


def copied(
    session: Session, destination: Path | str, *, made_by: Mapping[str, Any], overwrite: bool, progress: Progress
) -> SensoriumRecording:
    """Write every presentation of a session as a trial: its frames, tier and samples as they are.

    A trial without samples has no responses, no behavior or no pupil centre.
    """
    writer = RecordingWriter(
        destination,
        unit_ids=session.unit_ids,
        coordinates=session.coordinates,
        frame_rate=session.rate,
        degrees_per_pixel=session.degrees_per_pixel,
        name=session.name,
        signal=session.signal,
        made_by=made_by,
        overwrite=overwrite,
    )
    with writer:
        if session.areas:
            writer.write_areas(session.areas)
        for index in progress(range(len(session.shown))):
            shown = session.shown[index]
            video = grey_levels(np.asarray(shown.read(np.arange(len(shown.onsets)))))
            responses = _known(_at_frames(session.responses, shown, session.rate))
            writer.write_trial(
                index,
                tier=shown.tier,
                video=video,
                responses=responses,
                behavior=_rows(session, PUPIL_AND_RUNNING, shown),
                pupil_center=_rows(session, PUPIL_CENTER, shown),
            )
    return SensoriumRecording(writer.destination)


def _rows(session: Session, names: tuple[str, str], shown: ShownStimulus) -> Array | None:
    streams = [session.behavior[name] for name in names if name in session.behavior]
    if len(streams) < len(names):
        return None
    return _known(np.concatenate([_at_frames(stream, shown, session.rate) for stream in streams]))


def _known(values: Array) -> Array | None:
    """Return values, or None if there are none."""
    return None if np.isnan(values).all() else values


def _at_frames(stream: Stream | Spikes, shown: ShownStimulus, rate: float) -> Array:
    """Return the samples `(n,T)` at the frames of a presentation, NaN where there is none."""
    if isinstance(stream, Spikes):
        return responses_at(stream, shown.onsets, rate)
    wanted = np.searchsorted(stream.times, shown.onsets - 0.5 / rate)
    first, end = int(wanted[0]), min(int(wanted[-1]) + 1, len(stream.times))
    found = np.full((stream.values.shape[1], len(wanted)), np.nan)
    if first < end:
        values = np.asarray(stream.values[first:end])
        place = np.minimum(wanted, end - 1) - first
        near = np.abs(stream.times[first:end][place] - shown.onsets) < 0.25 / rate
        found[:, near] = values[place[near]].T
    return found
