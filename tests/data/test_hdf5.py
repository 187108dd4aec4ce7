"""HDF5 files of others: data from other files is refused however it is reached; lists and texts stay small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from worlds import formats_nwb
from worlds.sessions import session_of

from recon.data.arrays import read_array
from recon.data.hdf5 import Hdf5, open_hdf5

LINES = b"a private line\nanother one..\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a file with a group of data; beside it lie a private HDF5 file and a private text."""
    (tmp_path / "secret.txt").write_bytes(LINES)
    for name in ("mine.h5", "secret.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["group/numbers"], file["group/texts"], file["group/start"] = np.arange(3.0), ["a", "b"], 1.0
            file["group/start"].attrs["rate"] = 30.0
    return tmp_path / "mine.h5"


READS: list[Callable[[Hdf5, str], object]] = [
    lambda file, name: file.find(name),
    lambda file, name: file.kind(name),
    lambda file, name: file.texts(f"{name}/texts"),
    lambda file, name: file.values(f"{name}/numbers"),
    lambda file, name: file.whole(f"{name}/numbers"),
    lambda file, name: file.samples(f"{name}/numbers"),
    lambda file, name: file.start(f"{name}/start"),
    lambda file, name: file.attributes(f"{name}/start"),
    lambda file, name: file.children(f"{name}/*"),
]


@pytest.mark.parametrize("target", ["/out", "out", "./out", "deeper/../out", "/chain", "/out/group/up"])
def test_soft_links_lead_out_of_no_file(place: Path, target: str) -> None:
    """HDF5 follows a soft link in the private file too, so every part of the way is looked at."""
    with h5py.File(place, "r+") as file:
        file["out"] = h5py.ExternalLink("secret.h5", "/group")
        file["deeper/.."] = h5py.SoftLink("/")
        file["chain"] = h5py.SoftLink("deeper/../out")
        file["soft"] = h5py.SoftLink(target)
    with open_hdf5(place) as opened:
        assert "soft" in opened.children("*")
        for read in READS:
            with pytest.raises(ValueError, match=r"mine\.h5:soft.*: expected data in this file, got a link"):
                read(opened, "soft")


def test_soft_links_within_a_file_are_followed(place: Path) -> None:
    with h5py.File(place, "r+") as file:
        file["absolute"], file["group/relative"] = h5py.SoftLink("/group/numbers"), h5py.SoftLink("./numbers")
        file["soft"], file["nowhere"] = h5py.SoftLink("group"), h5py.SoftLink("/absent/one")
        file["circle"], file["here"] = h5py.SoftLink("circle/on"), h5py.SoftLink("/here")
    with open_hdf5(place) as opened:
        for name in ("absolute", "group/relative", "soft/relative"):
            assert opened.column(name).tolist() == [0, 1, 2]
        assert opened.find("nowhere") is None and opened.children("soft/*")[0] == "soft/start"
        assert opened.start("soft/start") == (1.0, 30.0) and opened.number("soft/start", key="rate") == 30
        for name in ("circle", "here"):
            with pytest.raises(ValueError, match="got links in a circle"):
                opened.find(name)


@pytest.mark.parametrize("kind", ["S15", "u1", "f4", "V5"])
def test_storage_in_other_files_is_refused_for_every_kind_of_data(place: Path, kind: str) -> None:
    outside = [(str(place.with_name("secret.txt")), 0, h5py.h5f.UNLIMITED)]
    with h5py.File(place, "r+") as file:
        file.create_dataset("column", (2,), kind, external=outside)
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_external(*(str(part).encode() if isinstance(part, str) else part for part in outside[0]))
        h5py.h5d.create(file.id, b"one", h5py.h5t.py_create(np.dtype(kind)), h5py.h5s.create(h5py.h5s.SCALAR), made)
        file["one"].attrs["rate"] = 30.0
        file.create_virtual_dataset("virtual", h5py.VirtualLayout((2,), kind))
    with open_hdf5(place) as opened:
        for name in ("column", "one", "virtual"):
            for read in (Hdf5.find, Hdf5.kind, Hdf5.texts, Hdf5.values, Hdf5.column, Hdf5.start, Hdf5.attributes):
                with pytest.raises(ValueError, match=rf"mine\.h5:{name}: expected data in this file, got a link"):
                    read(opened, name)
    with pytest.raises(ValueError, match="expected data in this file"):
        read_array(f"{place}:column")


def test_the_areas_of_a_session_are_no_lines_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(LINES)
    path, _ = formats_nwb.write_neuropixels(tmp_path / "session.nwb", seconds=2)
    location = "general/extracellular_ephys/electrodes/location"
    with h5py.File(path, "r+") as file:
        count = len(file[location])
        del file[location]
        outside = [(str(tmp_path / "secret.txt"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(location, (count,), "S14", external=outside)
    with pytest.raises(ValueError, match=r"location: expected data in this file, got a link"):
        session_of(path)


def test_attributes_are_single_numbers_and_texts(place: Path) -> None:
    with h5py.File(place, "r+") as file:
        about = file["group"].attrs
        about.update(rate=[30.0], name="mouse", plain=np.bytes_(b"x"), many=["a", "b"], numbers=[1.0, 2.0])
        about.update(other=file["group/numbers"].ref, empty=h5py.Empty("f"))
    with open_hdf5(place) as opened:
        assert opened.attributes("group") == {"rate": 30.0, "name": "mouse", "plain": "x"}
        for key in ("name", "many", "absent"):
            with pytest.raises(ValueError, match=rf"mine\.h5:group: expected a number for {key}"):
                opened.number("group", key=key)


def test_a_damaged_heap_of_texts_has_an_end(place: Path) -> None:
    """HDF5 itself never returns from a wrong length in it."""
    whole = place.read_bytes()
    for damage in (0, 251):
        place.write_bytes(whole.replace(b"\x01" + bytes(7) + b"b", bytes([damage]) + bytes(7) + b"b"))
        with open_hdf5(place) as opened, pytest.raises(ValueError, match=r"mine\.h5\S*: expected readable"):
            opened.texts("group/texts")


def test_every_read_of_a_damaged_file_names_it(place: Path) -> None:
    """Many bytes in turn are destroyed: nothing but our error, or other values."""
    whole = place.read_bytes()
    for position in range(0, len(whole), 104):
        place.write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        try:
            with open_hdf5(place) as opened:
                for read in READS:
                    read(opened, "group")
        except ValueError as error:
            assert "mine.h5" in str(error)
