"""Sessions of any stimulus table: two-photon by h5py (NWB 1.0), Neuropixels by pynwb (NWB 2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Array = np.ndarray[Any, Any]
RATE = 30.0
UNITS = 3


def write_two_photon(path: Path, tables: Mapping[str, Mapping[str, Any]], *, seconds: float) -> Path:
    """Write an NWB 1.0 session imaged at 30 Hz from 0 s.

    A table has `data`, `spans` (first and last imaging frame), and perhaps `features` and a `template`.
    """
    times = np.arange(round(seconds * RATE)) / RATE
    pipeline = "processing/brain_observatory_pipeline"
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
        file[f"{pipeline}/DfOverF/imaging_plane_1/data"] = np.tile(times, (UNITS, 1)).astype(np.float32)
        file[f"{pipeline}/DfOverF/imaging_plane_1/timestamps"] = times
        for name, table in tables.items():
            file[f"stimulus/presentation/{name}_stimulus/data"] = np.asarray(table["data"], dtype=np.float64)
            file[f"stimulus/presentation/{name}_stimulus/frame_duration"] = np.asarray(table["spans"])
            if "features" in table:
                file[f"stimulus/presentation/{name}_stimulus/features"] = list(table["features"])
            if "template" in table:
                file[f"stimulus/templates/{name}_image_stack/data"] = table["template"]
    return path


def write_units(
    path: Path, tables: Mapping[str, Mapping[str, Any]], *, seconds: float, templates: Mapping[str, Array] | None = None
) -> Path:
    """Write a Neuropixels session with pynwb; a table has columns, among them `start_time` and `stop_time`."""
    import pynwb
    from pynwb.epoch import TimeIntervals
    from pynwb.image import ImageSeries

    file = pynwb.NWBFile("a session", "715093703", datetime(2019, 1, 19, tzinfo=UTC))
    for number in range(UNITS):
        file.add_unit(id=number, spike_times=np.arange(0, seconds, 0.1 + 0.01 * number))
    for name, frames in (templates or {}).items():
        file.add_stimulus_template(ImageSeries(name, data=frames, unit="n.a.", rate=30.0, starting_time=0.0))
    for name, columns in tables.items():
        table = TimeIntervals(f"{name}_presentations", "presentations")
        extra = [column for column in columns if column not in ("start_time", "stop_time")]
        for column in extra:
            table.add_column(column, column)
        for place in range(len(columns["start_time"])):
            table.add_row(**{column: values[place] for column, values in columns.items()})
        file.add_time_intervals(table)
    with pynwb.NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path


def levels(frames: int, shape: tuple[int, int], *, step: int = 40) -> Array:
    """Return uniform frames `(T,H,W)` of grey levels 0, step, 2 · step …, modulo 256."""
    return np.broadcast_to((step * np.arange(frames) % 256)[:, None, None], (frames, *shape)).astype(np.uint8)


def noise(frames: int, shape: tuple[int, int], *, seed: int = 0) -> Array:
    """Return frames `(T,H,W)` of noise that differ from each other."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (frames, *shape), dtype=np.uint8)
