"""Small files that unpack to a lot: refused before the memory is taken, unless the user raises the limit."""

from __future__ import annotations

import gzip
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from recon.data import limits
from recon.data.arrays import read_array
from recon.data.caption_tables import read_captions
from recon.data.formats.nwb_series import times_of
from recon.data.hdf5 import open_hdf5
from recon.data.limits import VARIABLE, allowed
from recon.data.pictures import read_picture
from recon.study.tune import read_trials, trials_file

SIZE = 3_000_000
LIMIT = "0.002"
"""GB: a limit of 2 MB, so that bombs of 3 MB show what happens."""


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def gz(path: Path) -> str:
    with gzip.open(path / "a.npy.gz", "wb") as stream:
        np.save(stream, np.zeros(SIZE // 8))
    return f"{path}/a.npy.gz"


def gz_with_a_long_header(path: Path) -> str:
    (path / "a.npy.gz").write_bytes(gzip.compress(b"\x93NUMPY\x02\x00" + struct.pack("<I", SIZE) + b" " * SIZE))
    return f"{path}/a.npy.gz"


def npz(path: Path) -> str:
    np.savez_compressed(path / "a.npz", x=np.zeros(SIZE // 8))
    return f"{path}/a.npz:x"


def mat(path: Path) -> str:
    savemat(path / "a.mat", {"x": np.zeros(SIZE // 8)}, do_compression=True)
    return f"{path}/a.mat:x"


def mat_of_small_numbers(path: Path) -> str:
    savemat(path / "a.mat", {"x": np.zeros(SIZE // 8, np.uint8)})
    with (path / "a.mat").open("r+b") as stream:
        stream.seek(128 + 8 + 8)
        stream.write(bytes([6]))  # class double, values stored as bytes
    return f"{path}/a.mat:x"


def mat_with_false_lengths(path: Path) -> str:
    """An array of one number, by its shape; its values go on."""
    savemat(path / "a.mat", {"x": np.zeros((1, SIZE // 8))})
    content = (path / "a.mat").read_bytes()
    element = bytearray(content[128:])
    element[32:40] = struct.pack("<ii", 1, 1)
    packed = zlib.compress(bytes(element))
    (path / "a.mat").write_bytes(content[:128] + struct.pack("<II", 15, len(packed)) + packed)
    return f"{path}/a.mat:x"


def mat_of_cells(path: Path) -> str:
    """Cells whose letters are stored as bytes."""
    cells = np.empty(1, object)
    cells[0] = "x" * (SIZE // 8)
    savemat(path / "a.mat", {"x": cells}, do_compression=True)
    return f"{path}/a.mat:x"


def never_filled(path: Path) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        file.create_dataset("x", (SIZE // 8,), "f8", chunks=(1000,))
    return f"{path}/a.h5:x"


def zeros(path: Path) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(SIZE // 8), compression="gzip")
    return f"{path}/a.h5:x"


def large_chunk(path: Path) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(1), chunks=(SIZE // 8,), maxshape=(None,), compression="gzip")
    return f"{path}/a.h5:x"


def long_chunk(path: Path) -> str:
    """A chunk that goes on behind its size in the header."""
    with h5py.File(path / "a.h5", "w") as file:
        stored = file.create_dataset("x", (1000,), "u1", chunks=(1000,), compression="gzip")
        stored.id.write_direct_chunk((0,), zlib.compress(bytes(SIZE)))
    return f"{path}/a.h5:x"


def packed_twice(path: Path) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((1000,))
        made.set_deflate(9), made.set_deflate(9)
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((1000,)), made)
    return f"{path}/a.h5:x"


def one_text_many_times(path: Path) -> str:
    with h5py.File(path / "a.h5", "w") as file:
        stored = file.create_dataset("x", (1000,), h5py.string_dtype(), chunks=(1000,))
        stored[0] = "x" * (SIZE // 500)
        _, references = stored.id.read_direct_chunk((0,))
        stored.id.write_direct_chunk((0,), references[:16] * 1000)
    return f"{path}/a.h5:x"


BOMBS = [
    gz,
    gz_with_a_long_header,
    npz,
    mat,
    mat_of_small_numbers,
    mat_with_false_lengths,
    mat_of_cells,
    never_filled,
    zeros,
]
BOMBS += [large_chunk, long_chunk, packed_twice, one_text_many_times]
NEVER = [gz_with_a_long_header, mat_with_false_lengths, long_chunk, packed_twice]
"""Bombs whose header is false or of a kind that nobody needs: a higher limit does not help them."""


@pytest.mark.parametrize("make", BOMBS)
def test_bombs_are_refused_before_they_unpack(make: Callable[[Path], str], tmp_path: Path, monkeypatch) -> None:
    array = make(tmp_path)
    monkeypatch.setenv(VARIABLE, LIMIT)
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"a\.\S+: expected (at most|a header of|chunks that|data packed once)"
    ) as said:
        read_array(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SIZE
    assert make in NEVER or f"set the environment variable {VARIABLE}=1" in str(said.value)


@pytest.mark.parametrize("make", [each for each in BOMBS if each not in NEVER])
def test_the_user_can_raise_the_limit(make: Callable[[Path], str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "LEAST", 2_000_000)
    array = make(tmp_path)
    monkeypatch.setenv(VARIABLE, "1")
    assert read_array(array).size in (SIZE // 8, 1, 1000)


def test_sparse_activity_that_compresses_a_hundred_times_is_read(tmp_path: Path, monkeypatch) -> None:
    """The ratio holds for large files; the least limit is lowered so that a small one stands for them."""
    monkeypatch.setattr(limits, "LEAST", 1000)
    activity = np.zeros((500, 2000))
    activity[::5, ::40] = np.random.default_rng(0).random(activity[::5, ::40].shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=activity, compression="gzip")
        assert 100 < activity.nbytes / file["x"].id.get_storage_size() < 200
    np.savez_compressed(tmp_path / "a.npz", x=activity)
    savemat(tmp_path / "a.mat", {"x": activity}, do_compression=True)
    with gzip.open(tmp_path / "a.npy.gz", "wb") as stream:
        np.save(stream, np.asfortranarray(activity))
    for name in ("a.h5", "a.npz", "a.mat", "a.npy.gz"):
        np.testing.assert_array_equal(read_array(str(tmp_path / name)), activity)


def test_the_limit_grows_with_the_file_and_is_a_number(monkeypatch) -> None:
    assert (allowed(0), allowed(10**9)) == (256 * 2**20, 200 * 10**9)
    monkeypatch.setenv(VARIABLE, "1.5")
    assert allowed(10**9) == 1_500_000_000
    for text in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(ValueError, match=f"{VARIABLE}: expected a number of GB above 0, got '{text}'"):
            allowed(1)


def test_the_clock_of_a_series_is_bounded_as_well(tmp_path: Path) -> None:
    """A file of some KB: as int8 within the limit, but its times, from a rate, would take 4 GB."""
    with h5py.File(tmp_path / "session.nwb", "w") as file:
        series = file.create_group("running_speed")
        series.create_dataset("data", (250_000_000,), "i1", chunks=(1000,))
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = 60.0
    with pytest.raises(ValueError, match=r"running_speed/data: expected at most 0.268 GB unpacked, got 2 GB"):
        times_of(open_hdf5(tmp_path / "session.nwb"), "running_speed")


def test_trials_pictures_and_captions_are_bounded(tmp_path: Path, monkeypatch) -> None:
    study = tmp_path / "ridge.json"
    trials_file(study).write_bytes(gzip.compress(b"[" + b" " * SIZE + b"]"))
    Image.new("1", (1000, 1000)).save(tmp_path / "a.png")
    assert read_trials(study) == [] and read_picture(tmp_path / "a.png").shape == (1, 1000, 1000)
    monkeypatch.setenv(VARIABLE, LIMIT)
    for read in (lambda: read_trials(study), lambda: read_picture(tmp_path / "a.png")):
        with pytest.raises(ValueError, match=r"expected at most 0.002 GB unpacked"):
            read()


def test_a_table_of_captions_is_bounded(tmp_path: Path, monkeypatch) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"trial": range(1000), "text": ["x" * (SIZE // 500)] * 1000}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setenv(VARIABLE, LIMIT)
    with pytest.raises(ValueError, match=r"a\.parquet: expected at most 0.002 GB unpacked"):
        read_captions(tmp_path / "a.parquet", None)
