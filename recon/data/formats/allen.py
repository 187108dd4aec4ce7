"""Allen Brain Observatory, two-photon: NWB 1.0 files; stimulus times are imaging frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recon.data.formats.allen_stimuli import StimulusTable, read_stimuli
from recon.data.formats.nwb_series import behavior_streams, grey_movie, unit_ids
from recon.data.formats.session import Session, Stream
from recon.data.formats.stored_units import decisions, seconds
from recon.data.hdf5 import Hdf5, Turned, is_hdf5, open_hdf5
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
LAST = 1 / 30
"""Duration in seconds of the last frame of a movie; the movies play at 30 Hz."""


def looks_like(path: Path) -> bool:
    """Return whether a file is a two-photon session of the Allen Brain Observatory."""
    return is_hdf5(path) and open_hdf5(path).find(f"{TRACES}/data") is not None


def read(path: Path) -> Session:
    """Return the session of a file: ΔF/F, running, pupil if tracked, movies, scenes, noise and gratings.

    The file has no tiers; the split by content holds out pieces of a movie with all their repeats.
    """
    file = open_hdf5(path)
    times = seconds(file, f"{TRACES}/timestamps")
    traces = file.values(f"{TRACES}/data", axes=2)
    if traces.shape[1] != len(times):
        raise InputError(f"{path}: expected {len(times)} frames, one per time, got {traces.shape}; copy the file again")
    notes: list[str] = []
    stimuli = read_stimuli(list(_tables(file, times)), notes)
    if not stimuli.shown:
        got = "; ".join(stimuli.reasons()) or "none"
        raise InputError(f"{path}: expected stimuli that can be rendered, got {got}; take another session type")
    ids = unit_ids(file, CELLS) if file.find(CELLS) is not None else []
    behavior = _behavior(file, notes)
    return Session(
        name=path.stem,
        unit_ids=ids if len(np.unique(ids)) == traces.shape[0] else range(traces.shape[0]),
        responses=Stream(times, Turned(traces)),
        shown=stimuli.shown,
        behavior=behavior,
        notes=notes,
        signal="calcium",
        decided=stimuli.decided() | decisions(file.converted),
        screen=stimuli.screen,
    )


def _tables(file: Hdf5, times: Array) -> Iterator[StimulusTable]:
    """Yield the stimulus tables, with times in seconds; rows outside the imaging have none."""
    for path in file.children("stimulus/presentation/*_stimulus"):
        name = path.rpartition("/")[2].removesuffix("_stimulus")
        if file.kind(f"{path}/frame_duration") != "numbers":
            continue
        spans = file.whole(f"{path}/frame_duration", axes=2)
        data = file.whole(f"{path}/data") if file.kind(f"{path}/data") == "numbers" else np.zeros((len(spans), 0))
        values = (data if data.ndim == 2 else data.reshape(-1, 1)).astype(np.float64)
        if len(values) != len(spans) or spans.shape[1] < 2:
            raise InputError(
                f"{file.path}:{path}: expected a first and a last imaging frame for each of {len(values)} rows, "
                f"got {spans.shape}; copy the file again"
            )
        stack = f"stimulus/templates/{name}_image_stack/data"
        template = grey_movie(file, stack) if file.find(stack) is not None else None
        starts, stops = (_seconds(spans[:, side], times) for side in (0, 1))
        if "movie" in name:
            stops = starts + LAST
        yield StimulusTable(name, starts, stops, _columns(file, path, values), template)


def _columns(file: Hdf5, path: str, values: Array) -> dict[str, Array]:
    """Return the columns `(K,)` of a table by name: its features, or else frame and repeat."""
    features = file.texts(f"{path}/features") if file.kind(f"{path}/features") == "texts" else ["frame", "repeat"]
    return {name: values[:, place] for place, name in enumerate(features[: values.shape[1]])}


def _seconds(frames: Array, times: Array) -> Array:
    """Return the times `(K,)` of imaging frames; NaN for those that were not imaged."""
    known = (frames >= 0) & (frames < len(times))
    return np.where(known, times[np.where(known, frames, 0).astype(np.int64)], np.nan)


def _behavior(file: Hdf5, notes: list[str]) -> dict[str, Stream]:
    there = {signal: place for signal, place in BEHAVIOR.items() if file.find(f"{place[0]}/data") is not None}
    return behavior_streams(file, there, notes)
