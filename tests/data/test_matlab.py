"""MATLAB files, old and 7.3: every variable has MATLAB's shape, texts are texts, the rest is refused by its class."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from recon.data.arrays import open_stored, read_array
from recon.data.ceilings import array_repeats
from recon.data.formats.arrays_import import import_arrays

RNG = np.random.default_rng(0)
ACT = RNG.random((12, 10, 40))
SHAPES = [(12, 10, 40), (7, 1), (1, 7), (1, 1), (3, 5), (2, 3, 4, 5)]
AREAS = ["VISp", "CA1", "VISp", "DG"] * 3
CODES = {"float64": "double", "float32": "single", "bool": "logical", "complex128": "double"}


def write_new(path: Path, variables: dict[str, Any]) -> Path:
    """Write a file as MATLAB 7.3 does: axes in reverse, classes in attributes, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _write(file, name, value)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\0\2IM")
    return path


def _write(file: h5py.File, name: str, value: Any) -> None:
    kind, extra = "", dict[str, Any]()
    if isinstance(value, dict):
        kind = "struct"
        file.create_group(name)
        for field, content in value.items():
            _write(file, f"{name}/{field}", content)
    elif isinstance(value, str):
        kind, extra = "char", {"MATLAB_int_decode": 2}
        codes = np.frombuffer(value.encode("utf-16-le"), np.uint16)
        file[name] = codes[:, None] if value else np.zeros(2, np.uint64)
        extra |= {} if value else {"MATLAB_empty": np.uint8(1)}
    elif isinstance(value, list):
        kind = "cell"
        for number, content in enumerate(value):
            _write(file, f"#refs#/{name}{number}", content)
        refs = [file[f"#refs#/{name}{number}"].ref for number in range(len(value))]
        file.create_dataset(name, data=np.array(refs, dtype=h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
    else:
        array = np.asarray(value)
        kind = CODES.get(array.dtype.name, array.dtype.name)
        file[name] = array.astype(np.uint8 if array.dtype == bool else array.dtype).T if array.size else array.shape
        extra = {} if array.size else {"MATLAB_empty": np.uint8(1)}
    file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    for key, content in extra.items():
        file[name].attrs[key] = content


def write_old(path: Path, variables: dict[str, Any]) -> Path:
    cells = {n: np.array(v, object)[:, None] if isinstance(v, list) else v for n, v in variables.items()}
    savemat(path, cells, oned_as="column")
    return path


Writer = Callable[[Path, dict[str, Any]], Path]
both = pytest.mark.parametrize("write", [write_old, write_new])


@both
@pytest.mark.parametrize(("shape", "kind"), zip(SHAPES, ("f8", "f4", "u1", "i2", "?", "f8"), strict=True))
def test_numbers_have_the_shape_of_matlab(write: Writer, shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    array = (10 * RNG.random(shape)).astype(kind)
    path = write(tmp_path / "a.mat", {"x": array, "other": np.ones((2, 2))})
    np.testing.assert_array_equal(read_array(f"{path}:x"), array)
    with ExitStack() as stack:
        stored = open_stored(f"{path}:x", stack)
        assert tuple(stored.shape) == shape
        for index in (0, slice(0, 1), (slice(None), 0), (..., slice(0, 2)), (0, ..., 0), ([0],)):
            np.testing.assert_array_equal(stored[index], array[index])


@both
def test_units_repeats_and_bins_of_both_kinds(write: Writer, tmp_path: Path) -> None:
    """Read as 40 units, 10 repeats and 12 bins until the axes were put right."""
    ids = 100.0 + np.arange(12)[:, None]
    path = write(tmp_path / "a.mat", {"act": ACT, "unit_regs": AREAS, "ids": ids})
    repeats = array_repeats([f"{path}:act"], areas=f"{path}:unit_regs", unit_ids=f"{path}:ids")
    assert repeats.responses.shape == (10, 12, 40)
    np.testing.assert_array_equal(repeats.responses.numpy(), ACT.astype(np.float32).swapaxes(0, 1))
    assert repeats.areas == tuple(AREAS) and repeats.unit_ids == tuple(range(100, 112))


@both
def test_a_session_of_matlab_is_imported_as_it_was_there(write: Writer, tmp_path: Path) -> None:
    """Frames in MATLAB's order, rows of one neuron, and vectors of ids in rows or columns."""
    movie = RNG.integers(0, 256, (12, 18, 90), dtype=np.uint8)
    responses, places = RNG.random((9, 90)), RNG.random((9, 3))
    variables = {"movie": movie, "responses": responses, "ids": np.arange(9.0)[None] + 5, "xyz": places}
    path = write(tmp_path / "a.mat", variables)
    recording = import_arrays(
        tmp_path / "r",
        movie=f"{path}:movie",
        axes="hwt",
        responses=f"{path}:responses",
        unit_ids=f"{path}:ids",
        coordinates=f"{path}:xyz",
        frame_rate=30.0,
        trial_frames=30,
    )
    frames = np.concatenate([np.rint(recording.trial(i).movie[0].numpy() * 255) for i in range(3)])
    np.testing.assert_array_equal(frames, np.moveaxis(movie, 2, 0))
    found = np.concatenate([recording.trial(i).responses.numpy() for i in range(3)], 1)
    np.testing.assert_array_equal(found, responses.astype(np.float32))
    assert recording.unit_ids == tuple(range(5, 14))


@both
def test_texts_are_texts(write: Writer, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", {"word": "natural", "words": [*AREAS, "µm", ""]})
    assert read_array(f"{path}:word").tolist() == ["natural"]
    assert read_array(f"{path}:words").ravel().tolist() == [*AREAS, "µm", ""]


@both
@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.zeros((0, 5)), "expected values, got an empty array"),
        ({"act": ACT}, "got a (struct|struct; name one of x/act)"),
        ([np.ones((2, 2)), np.ones((2, 2))], "expected a cell array of texts, got cells of others"),
        (np.ones((3, 3)) * 1j, "expected real numbers, got complex ones"),
    ],
)
def test_what_is_no_array_is_refused_by_its_class(write: Writer, value: Any, match: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", {"x": value, "y": np.ones(2)})
    with pytest.raises(ValueError, match=rf"a\.mat:x: expected .*{match.removeprefix('expected ')}"):
        read_array(f"{path}:x")


def test_sparse_and_objects_are_refused_by_their_class(tmp_path: Path) -> None:
    savemat(tmp_path / "old.mat", {"x": csc_array(np.eye(3))})
    with pytest.raises(ValueError, match="expected an array of numbers, got a sparse"):
        read_array(f"{tmp_path}/old.mat:x")
    path = write_new(tmp_path / "new.mat", {"x": {"data": np.ones(3)}, "s": np.ones((1, 6), np.uint32)})
    with h5py.File(path, "r+") as file:
        file["x"].attrs["MATLAB_sparse"] = np.uint64(3)
        file["s"].attrs["MATLAB_class"] = np.bytes_("string")
        file["s"].attrs["MATLAB_object_decode"] = np.int32(3)
        file["gone"] = file["s"][()]
        file["gone"].attrs["MATLAB_class"] = np.bytes_("table")
    for name, match in {"x": "save full", "s": "got a string; save cellstr", "gone": "got a table; save its"}.items():
        with pytest.raises(ValueError, match=match):
            read_array(f"{path}:{name}")
    assert read_array(f"{path}:x/data").tolist() == [1.0, 1.0, 1.0]


def test_the_shape_does_not_hang_on_the_name_of_the_file(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.h5", {"act": ACT})
    np.testing.assert_array_equal(read_array(f"{path}:act"), ACT)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["act"] = ACT
    np.testing.assert_array_equal(read_array(f"{tmp_path}/b.h5:act"), ACT)
