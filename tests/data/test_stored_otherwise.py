"""Whole files of NWB with every series and every time stored otherwise: the session that is read stays what it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from worlds import formats_nwb
from worlds.sessions import films, session_of

from recon.data.formats.session import Session, Spikes, Stream


def shown(session: Session) -> np.ndarray[Any, Any]:
    return np.concatenate([np.asarray(one.read(np.arange(len(one.onsets)))) for one in session.shown])


def recoded(path: Path) -> list[str]:
    """Store every series otherwise, with the attributes that say how, and every time in ms; return what was changed."""
    changed: list[str] = []

    def recode(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu" and found.shape is not None:
            changed.extend([name] * (_data(found) or _time(found)))

    with h5py.File(path, "r+") as file:
        file.visititems(recode)
        for name in changed:
            _replace(file, name)
    return changed


def _data(found: h5py.Dataset) -> bool:
    parent = found.parent.attrs.get("neurodata_type", "")
    counted = "presentation/natural" in found.name  # numbers of frames
    return found.name.endswith("/data") and parent != "IndexSeries" and found.size > 0 and not counted


def _time(found: h5py.Dataset) -> bool:
    names = ("timestamps", "starting_time", "start_time", "stop_time", "spike_times")
    return found.name.rpartition("/")[2] in names and found.size > 0


def _replace(file: h5py.File, name: str) -> None:
    values, about = file[name][()], dict(file[name].attrs)
    if _time(file[name]):
        values, about = values * 1000.0, about | {"unit": "ms"}
    else:
        factor = float(np.ptp(np.nan_to_num(values))) / 2**28 or 1.0
        lost = np.isnan(values.astype(np.float64))
        stored = np.where(lost, -1, np.rint((values.astype(np.float64) + 3) / factor)).astype(np.int64)
        about |= {"conversion": factor, "offset": -3.0, "_FillValue": np.int64(-1)}
        about.setdefault("unit", "n.a.")
        if file[name].dtype == np.uint8:
            about |= {"conversion": factor / 255, "offset": -3 / 255}
        values = stored
    del file[name]
    file[name] = values
    file[name].attrs.update(about)


def _written(kind: str, folder: Path) -> Path:
    if kind == "microns":
        return formats_nwb.write_microns(folder / "scan.nwb", films(60.0)[:2])
    write: Callable[..., tuple[Path, Any]] = getattr(formats_nwb, f"write_{kind}")
    return write(folder / "session.nwb", seconds=3)[0]


@pytest.mark.parametrize("kind", ["allen", "microns", "neuropixels"])
def test_no_reader_takes_a_number_without_its_attributes(kind: str, tmp_path: Path) -> None:
    """Every series and every time of a file is stored otherwise; the session stays what it was."""
    path = _written(kind, tmp_path)
    before, frames = session_of(path), shown(session_of(path))
    again = path.with_name("again.nwb")
    shutil.copy(path, again)
    changed = recoded(again)
    after = session_of(again)
    assert len(changed) > 4 and {"units", "scale"} <= set(after.decided)
    np.testing.assert_allclose(shown(after), frames, atol=1e-3)
    assert [one.content for one in after.shown] == [one.content for one in before.shown]
    for one, other in zip(before.shown, after.shown, strict=True):
        np.testing.assert_allclose([*other.onsets, other.end], [*one.onsets, one.end], atol=1e-6)
    pairs = [(before.responses, after.responses)] if isinstance(before.responses, Stream) else []
    pairs += [(before.behavior[name], after.behavior[name]) for name in before.behavior]
    assert set(before.behavior) == set(after.behavior) and before.behavior
    for old, new in pairs:
        assert isinstance(new, Stream)
        np.testing.assert_allclose(new.times, old.times, atol=1e-6)
        size = float(np.nanmax(np.abs(np.asarray(old.values[:]))))
        np.testing.assert_allclose(np.asarray(new.values[:]), np.asarray(old.values[:]), atol=1e-5 * size)
    if isinstance(before.responses, Spikes) and isinstance(after.responses, Spikes):
        for one, other in zip(before.responses.times, after.responses.times, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-6)
