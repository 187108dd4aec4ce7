"""Allen Brain Observatory, two-photon: NWB 1.0 files with natural movies; stimulus times are imaging frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from recon.data.formats.session import Session, ShownStimulus, Stream
from recon.data.hdf5 import Hdf5, Turned, Values, is_hdf5, open_hdf5
from recon.data.layout import Array
from recon.errors import InputError

PIPELINE = "processing/brain_observatory_pipeline"
TRACES = f"{PIPELINE}/DfOverF/imaging_plane_1"
CELLS = f"{PIPELINE}/ImageSegmentation/cell_specimen_ids"
BEHAVIOR = {
    "running_speed": (f"{PIPELINE}/BehavioralTimeSeries/running_speed", 0),
    "pupil_dilation": (f"{PIPELINE}/EyeTracking/pupil_size", 0),
    "pupil_x": (f"{PIPELINE}/EyeTracking/pupil_location", 0),
    "pupil_y": (f"{PIPELINE}/EyeTracking/pupil_location", 1),
}
PAUSE = 0.5
"""Minimum gap in seconds between two presentations."""
LAST = 1 / 30
"""Duration in seconds of the last frame of a movie; the movies play at 30 Hz."""


def looks_like(path: Path) -> bool:
    """Return whether a file is a two-photon session of the Allen Brain Observatory."""
    return is_hdf5(path) and open_hdf5(path).find(f"{TRACES}/data") is not None


def read(path: Path) -> Session:
    """Return the session of a file: ΔF/F, running, pupil if tracked, and every repeat of every natural movie.

    The file has no tiers; the split by content holds out pieces of a movie with all their repeats.
    """
    file = open_hdf5(path)
    times = file.column(f"{TRACES}/timestamps").astype(np.float64)
    traces = file.values(f"{TRACES}/data", axes=2)
    if traces.shape[1] != len(times):
        raise InputError(f"{path}: expected {len(times)} frames, one per time, got {traces.shape}; copy the file again")
    notes: list[str] = []
    movies = file.children("stimulus/presentation/natural_movie_*")
    shown = [one for name in movies for one in _movie(file, name, times)]
    if not shown:
        raise InputError(f"{path}: expected presentations of natural movies, got none; take another session type")
    ids = file.column(CELLS) if file.find(CELLS) is not None else np.arange(traces.shape[0])
    return Session(
        name=path.stem,
        unit_ids=[int(each) for each in ids] if len(np.unique(ids)) == traces.shape[0] else range(traces.shape[0]),
        responses=Stream(times, Turned(traces)),
        shown=shown,
        behavior=_behavior(file, notes),
        notes=notes,
    )


def _movie(file: Hdf5, name: str, times: Array) -> Iterator[ShownStimulus]:
    """Yield the repeats of a movie; a new repeat begins where the frame number decreases or after a pause."""
    about = name.rpartition("/")[2].removesuffix("_stimulus")
    template = file.values(f"stimulus/templates/{about}_image_stack/data", axes=3)
    frames = file.whole(f"{name}/data")
    frames = frames.reshape(len(frames), -1)[:, 0].astype(np.int64)
    spans = file.whole(f"{name}/frame_duration", axes=2)
    low, high = (int(frames.min()), int(frames.max())) if len(frames) else (0, -1)
    if len(frames) != len(spans) or not 0 <= low <= high < template.shape[0]:
        raise InputError(
            f"{file.path}:{name}: expected frames 0–{template.shape[0] - 1} and a span for each, got {low} to {high} "
            f"and {len(spans)} spans; copy the file again"
        )
    known = (spans[:, 0] >= 0) & (spans[:, 0] < len(times))
    onsets = times[np.clip(spans[:, 0], 0, len(times) - 1).astype(np.int64)]
    begins = np.flatnonzero(np.diff(frames, prepend=frames[0]) < 0)
    pauses = np.flatnonzero(np.diff(onsets, prepend=onsets[0]) > PAUSE)
    edges = np.unique(np.concatenate([[0], begins, pauses, [len(frames)]]))
    for first, end in pairwise(edges):
        own = np.flatnonzero(known[first:end]) + first
        # If several movie frames fall in one imaging frame, keep the last.
        own = own[np.diff(onsets[own], append=np.inf) > 0]
        if len(own):
            yield ShownStimulus(
                onsets[own], float(onsets[own][-1] + LAST), partial(_template_frames, template, frames[own]), about
            )


def _template_frames(template: Values, frames: Array, numbers: Array) -> Array:
    """Return frames of the template; HDF5 requires increasing indices."""
    distinct, place = np.unique(frames[numbers], return_inverse=True)
    return template[list(distinct)][place]


def _behavior(file: Hdf5, notes: list[str]) -> dict[str, Stream]:
    found = {}
    for signal, (name, column) in BEHAVIOR.items():
        if file.find(f"{name}/data") is None:
            continue
        values, times = file.whole(f"{name}/data"), file.column(f"{name}/timestamps")
        values = values.reshape(len(values), -1)
        if len(values) != len(times) or values.shape[1] <= column:
            notes.append(f"{signal}: {len(values)} values for {len(times)} times; left out")
            continue
        rises = np.diff(times, prepend=-np.inf) > 0
        found[signal] = Stream(times[rises], values[rises, column : column + 1].astype(np.float64))
    return found
