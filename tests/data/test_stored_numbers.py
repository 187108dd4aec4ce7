"""Stored numbers with their attributes: conversion, offset, units and fill values in every reader, every series."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import SpatialSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.image import ImageSeries
from worlds import formats_nwb
from worlds.sessions import session_of

from recon.data.arrays import read_array
from recon.data.formats.nwb import NwbMapping, read
from recon.data.formats.session import Session, Spikes
from recon.data.hdf5 import open_hdf5

RNG = np.random.default_rng(0)
FRAMES, CELLS = 60, 5
LEVELS = RNG.random((FRAMES, 4, 6)).round(3)
SPEED = np.linspace(-10, 10, 90).round(2)
TRACES = RNG.random((FRAMES, CELLS)).round(3)
MAPPING = NwbMapping(
    responses=("acquisition/traces",),
    movie="acquisition/movie",
    behavior={
        "running_speed": "acquisition/running",
        "pupil_x": "acquisition/eye:0",
        "pupil_dilation": "acquisition/d",
    },
)


def packed(values: Any, conversion: float, offset: float, kind: str) -> dict[str, Any]:
    """Return what pynwb writes for values x stored as whole numbers (x − offset) / conversion."""
    stored = np.rint((np.asarray(values) - offset) / conversion)
    assert np.iinfo(kind).min <= stored.min() and stored.max() <= np.iinfo(kind).max
    return {"data": stored.astype(kind), "conversion": conversion, "offset": offset}


def written(path: Path, *, movie: Any = None, running: Any = None, unit: str = "cm/s", **more: Any) -> Path:
    """Write a session of a movie, traces and running with pynwb; `more` are further series."""
    file = NWBFile("a session", "id", datetime(2020, 1, 1, tzinfo=UTC))
    clock = {"timestamps": np.arange(FRAMES) / 30}
    movie, running = movie or {"data": (255 * LEVELS).astype("u1")}, running or {"data": SPEED}
    file.add_acquisition(ImageSeries("movie", unit="n.a.", **movie, **clock))
    file.add_acquisition(TimeSeries("traces", unit="n.a.", **more.pop("traces", {"data": TRACES}), **clock))
    file.add_acquisition(TimeSeries("running", unit=unit, rate=45.0, starting_time=0.0, **running))
    for series in more.values():
        file.add_acquisition(series)
    with NWBHDF5IO(path, "w") as stream:
        stream.write(file)
    return path


def shown(session: Session) -> np.ndarray[Any, Any]:
    return np.concatenate([np.asarray(one.read(np.arange(len(one.onsets)))) for one in session.shown])


def test_a_movie_of_whole_numbers_has_its_conversion_and_offset(tmp_path: Path) -> None:
    """Stored 1000–2000, and so read as 1020…1906 once."""
    path = written(tmp_path / "a.nwb", movie=packed(LEVELS, 1e-3, -1.0, "u2"))
    with open_hdf5(path) as file:
        np.testing.assert_allclose(file.whole("acquisition/movie/data"), LEVELS, atol=1e-9)
    session = read(path, MAPPING)
    np.testing.assert_allclose(shown(session), 255 * LEVELS, atol=1e-3)
    assert "stored × 0.001 − 1; 0 is black, 1 is white" in session.decided["scale"]


def test_running_has_its_conversion_its_offset_and_its_unit(tmp_path: Path) -> None:
    """Running within ±10 cm/s, stored as −1000…1000 with 0.01, or in m/s and in mm/s."""
    for number, (unit, one) in enumerate({"cm/s": 1.0, "m/s": 100.0, "mm/s": 0.1, "meters/second": 100.0}.items()):
        stored = packed(SPEED / one, 0.01 / one, 0.09 / one, "i2")
        session = read(written(tmp_path / f"{number}.nwb", running=stored, unit=unit), MAPPING)
        np.testing.assert_allclose(session.behavior["running_speed"].values[:, 0], SPEED, atol=0.006)
        assert "running in cm/s" in session.decided["units"] and (
            one == 1 or f"from {unit}" in session.decided["units"]
        )
    session = read(written(tmp_path / "turns.nwb", unit="rad/s"), MAPPING)
    np.testing.assert_array_equal(session.behavior["running_speed"].values[:, 0], SPEED)
    assert "unit 'rad/s' is no speed, running is left as stored" in session.decided["units"]


def test_every_channel_has_its_own_conversion(tmp_path: Path) -> None:
    file = NWBFile("a session", "id", datetime(2020, 1, 1, tzinfo=UTC))
    device = file.create_device("probe")
    group = file.create_electrode_group("shank", "one", "V1", device)
    for _ in range(CELLS):
        file.add_electrode(location="V1", group=group)
    gains = np.array([1.0, 2.0, 0.5, 4.0, 8.0])
    stored = np.rint((TRACES - 0.25) / (1e-3 * gains)).astype("i2")
    region = file.create_electrode_table_region(list(range(CELLS)), "all")
    about = {"conversion": 1e-3, "offset": 0.25, "channel_conversion": gains, "rate": 30.0}
    file.add_acquisition(ElectricalSeries("traces", stored, region, starting_time=0.0, **about))
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as stream:
        stream.write(file)
    with open_hdf5(tmp_path / "a.nwb") as opened:
        values = opened.values("acquisition/traces/data")
        np.testing.assert_allclose(values[...], TRACES, atol=5e-3)
        for index in ((slice(3, 9), slice(1, 3)), (slice(None), 2), 4, ([1, 5], slice(None)), (slice(2, 4),)):
            np.testing.assert_array_equal(values[index], values[...][index])


@pytest.mark.parametrize("stated", ["fill", "_FillValue", "missing_value"])
@pytest.mark.parametrize("kind", ["f8", "f4", "i2"])
def test_fill_values_are_missing(stated: str, kind: str, tmp_path: Path) -> None:
    """Of HDF5 for floats only: whole numbers may hold it, for example the grey of a screen."""
    values = np.array([1.0, -9999.0, 3.0])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("x", data=values.astype(kind), fillvalue=-9999 if stated == "fill" else None)
        if stated != "fill":
            stored.attrs[stated] = np.array([-9999], dtype=kind)
        file.create_dataset("never", (3,), kind, fillvalue=-9999 if stated == "fill" else None)
    found = read_array(f"{tmp_path}/a.h5:x")
    never = read_array(f"{tmp_path}/a.h5:never")
    assert np.isnan(never).all() == (stated == "fill" and kind != "i2")
    expected = values if (stated, kind) == ("fill", "i2") else np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(found, expected)


def test_missing_samples_of_packed_behavior_are_not_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nwb", running=packed(SPEED, 0.01, 0.0, "i2"))
    with h5py.File(path, "r+") as file:
        stored = file["acquisition/running/data"]
        stored[10:20] = -32768
        stored.attrs["_FillValue"] = np.int16(-32768)
    session = read(path, MAPPING)
    values = session.behavior["running_speed"].values[:, 0]
    assert np.isnan(values[10:20]).all() and np.isfinite(np.delete(values, np.s_[10:20])).all()
    assert "missing where -32768" in session.decided["units"]


def test_numbers_that_state_nothing_stay_as_stored(tmp_path: Path) -> None:
    """A conversion of 0 or NaN (NWB 1) states none; an offset beside nothing may be anything; frames are counted."""
    about = [{"conversion": 0.0}, {"conversion": np.nan}, {"offset": 7.0}, {"conversion": 1.0, "offset": 0.0}, {}]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number, attributes in enumerate(about):
            file[f"x{number}"] = np.arange(3, dtype="u2")
            file[f"x{number}"].attrs.update(attributes)
        file["shown/data"] = np.arange(3)
        file["shown/data"].attrs.update({"conversion": 2.0, "unit": "N/A"})
        file["shown"].attrs["neurodata_type"] = "IndexSeries"
        file["grey"] = np.arange(3.0)
        file["grey"].attrs.update({"scale_factor": 0.5, "add_offset": 1.0})
    for number in range(len(about)):
        found = read_array(f"{tmp_path}/a.h5:x{number}")
        assert found.tolist() == [0, 1, 2] and found.dtype == np.uint16
    assert read_array(f"{tmp_path}/a.h5:shown/data").tolist() == [0, 1, 2]
    assert read_array(f"{tmp_path}/a.h5:grey").tolist() == [1, 1.5, 2]


@pytest.mark.parametrize(
    ("data", "white"),
    [
        (LEVELS, 1.0),
        (LEVELS.astype("f4") * 255, 255.0),
        ((LEVELS * 255).astype("u2"), 255.0),
        (np.rint(LEVELS * 65535).astype("u2"), 65535.0),
        (np.concatenate([np.zeros((40, 4, 6)), 255 * LEVELS[40:]]), 255.0),
    ],
    ids=["0-1", "0-255", "bytes in 16 bits", "16 bits", "0-255 from black"],
)
def test_white_is_decided_from_the_whole_movie(data: Any, white: float, tmp_path: Path) -> None:
    session = read(written(tmp_path / "a.nwb", movie={"data": data}), MAPPING)
    np.testing.assert_allclose(shown(session), data.astype(np.float64) * (255 / white), atol=1e-3)
    assert f"0 is black, {white:g} is white" in session.decided["scale"]


def test_grey_levels_beyond_every_scale_are_refused(tmp_path: Path) -> None:
    for number, data in enumerate((LEVELS - 0.5, LEVELS * 300, LEVELS * 1.5)):
        path = written(tmp_path / f"{number}.nwb", movie={"data": data})
        with pytest.raises(ValueError, match=r"movie/data: expected float64 grey levels in 0–1 or 0–255.*conversion"):
            read(path, MAPPING)


def test_sixteen_bits_may_be_fewer(tmp_path: Path) -> None:
    data = np.rint(LEVELS * 4095).astype("u2")
    path = written(tmp_path / "a.nwb", movie={"data": data})
    with h5py.File(path, "r+") as file:  # pynwb reads it, but does not write it any more
        file["acquisition/movie/bits_per_pixel"] = np.int32(12)
    np.testing.assert_allclose(shown(read(path, MAPPING)), data * (255 / 4095), atol=1e-3)


def test_samples_in_a_blink_are_missing(tmp_path: Path) -> None:
    """The container of an Allen session marks them."""
    blink = np.zeros(FRAMES, dtype=bool)
    blink[5:9] = True
    clock = {"timestamps": np.arange(FRAMES) / 30}
    dilation = TimeSeries("d", data=np.full(FRAMES, 7.0), unit="n.a.", **clock)
    eye = SpatialSeries("eye", data=np.ones((FRAMES, 2)), reference_frame="screen", conversion=0.01, **clock)
    likely = TimeSeries("likely_blink", data=blink, unit="n.a.", **clock)
    session = read(written(tmp_path / "a.nwb", dilation=dilation, eye=eye, likely=likely), MAPPING)
    np.testing.assert_array_equal(np.isnan(session.behavior["pupil_dilation"].values[:, 0]), blink)
    np.testing.assert_allclose(session.behavior["pupil_x"].values[~blink, 0], 0.01)
    assert "missing in blinks" in session.decided["units"]


@pytest.mark.parametrize("how", ["samples", "whole floats", "ms", "unit samples"])
def test_spikes_are_in_seconds_however_they_are_counted(how: str, tmp_path: Path) -> None:
    path, _ = formats_nwb.write_neuropixels(tmp_path / "a.nwb", seconds=2)
    before = session_of(path).responses
    with h5py.File(path, "r+") as file:
        times = file["units/spike_times"][()]
        about = dict(file["units/spike_times"].attrs)
        del file["units/spike_times"]
        kind = {"samples": "i8", "unit samples": "f8"}.get(how, "f8")
        file["units/spike_times"] = (times * 1000 if how == "ms" else np.rint(times * 30000)).astype(kind)
        about |= {"unit": "ms"} if how == "ms" else {"resolution": 1 / 30000}
        file["units/spike_times"].attrs.update(about | ({"unit": "samples"} if how == "unit samples" else {}))
    session = session_of(path)
    after = session.responses
    assert isinstance(before, Spikes) and isinstance(after, Spikes)
    for one, other in zip(before.times, after.times, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-5)
    assert "become seconds" in session.decided["units"]


def test_samples_without_a_resolution_are_refused(tmp_path: Path) -> None:
    path, _ = formats_nwb.write_neuropixels(tmp_path / "a.nwb", seconds=2)
    with h5py.File(path, "r+") as file:
        times = np.rint(file["units/spike_times"][()] * 30000).astype("u8")
        del file["units/spike_times"]
        file["units/spike_times"] = times
    with pytest.raises(ValueError, match="spike_times: expected spike times in seconds, got whole numbers and no reso"):
        session_of(path)
