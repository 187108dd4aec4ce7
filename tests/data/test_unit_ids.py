"""Ids of neurons: texts are numbered and kept, numbers are numbers however they are stored, an id comes once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from worlds import formats as worlds
from worlds.sessions import SETTINGS, films, session_of

import recon
from recon.data.ceilings import array_repeats
from recon.data.formats.convert import convert
from recon.data.formats.nwb_series import unit_ids
from recon.data.hdf5 import open_hdf5
from recon.data.id_findings import id_findings
from recon.data.open import open_recording
from recon.data.survey import survey
from recon.data.unit_ids import numbered
from recon.errors import InputError

Published = Callable[..., Path]
TEXTS = [f"cell_{number}" for number in (12, 7, 100, 3, 5)]


def test_texts_are_numbered_in_their_order_and_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    movie, responses = random.random((600, 9, 16)), random.random((5, 600))
    made = recon.from_arrays(
        movie, responses, degrees_per_pixel=8.0, trial_frames=60, unit_ids=TEXTS, folder=tmp_path / "mouse"
    )
    reader = open_recording(tmp_path / "mouse")
    assert reader.unit_ids == (0, 1, 2, 3, 4) and list(reader.units.names) == TEXTS
    assert np.load(tmp_path / "mouse/meta/neurons/names.npy").tolist() == TEXTS
    note = "unit ids are texts (cell_12, …): neurons are numbered 0–4, their ids are kept in meta/neurons/names.npy"
    assert note in made.reader.made_by["notes"] and ("note", note) in id_findings(reader, survey(reader))
    numbers = recon.from_arrays(movie, responses, degrees_per_pixel=8.0, trial_frames=60, unit_ids=list("57689"))
    assert numbers.reader.unit_ids == (5, 7, 6, 8, 9) and numbers.reader.units.names == ()


@pytest.mark.parametrize(
    ("stored", "numbers", "names"),
    [
        (np.array([3.0, 1.0, 2.0]), (3, 1, 2), ()),
        (np.array([7, 5, 2**63 - 1], np.uint64), (7, 5, 2**63 - 1), ()),
        (np.array(["b", "a", "c"]), (0, 1, 2), ("b", "a", "c")),
        (np.array([b"b", b"a", "é".encode()]), (0, 1, 2), ("b", "a", "é")),
        (np.array(["10", "9", "11"]), (10, 9, 11), ()),
        (np.array(["010", "9", "11"]), (0, 1, 2), ("010", "9", "11")),
    ],
    ids=str,
)
def test_a_recording_reads_ids_of_any_kind(
    stored: np.ndarray, numbers: tuple[int, ...], names: tuple[str, ...], published: Published
) -> None:
    root = published(neurons=3)
    np.save(root / "meta/neurons/unit_ids.npy", stored)
    reader = open_recording(root)
    assert reader.unit_ids == numbers and reader.units.names == names


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (["a", "b", "a"], "expected every id once, got a several times"),
        ([4, 4, 4], "expected every id once, got 4 several times"),
        ([1.5, 2.0, 3.0], "expected whole numbers below 2[*][*]63, got 1.5"),
        ([1.0, np.nan, 3.0], "expected whole numbers below 2[*][*]63, got nan"),
        (np.array([2**63, 1, 2], np.uint64), "expected whole numbers below 2[*][*]63, got 9223372036854775808"),
    ],
    ids=str,
)
def test_ids_that_cannot_be_used_are_named_and_a_check_sees_the_rest(
    stored: list[object] | np.ndarray, said: str, published: Published
) -> None:
    root = published(neurons=3)
    np.save(root / "meta/neurons/unit_ids.npy", np.array(stored))
    with pytest.raises(InputError, match=rf"unit_ids\.npy: {said}"):
        open_recording(root)
    reader = open_recording(root, lenient=True)
    (finding,) = id_findings(reader, survey(reader))
    assert finding[0] == "error" and said.partition(" below")[0].split(",")[0] in finding[1]
    assert reader.unit_ids == (0, 1, 2) and len(survey(reader).facts) > 1


def test_foreign_formats_with_texts_as_ids_are_read(tmp_path: Path) -> None:
    mouse = worlds.write_experanto(tmp_path / "mouse", films(30.0)[:3])
    texts = [f"cell_{number}" for number in range(worlds.UNITS)]
    (mouse / "responses/meta").mkdir(exist_ok=True)
    np.save(mouse / "responses/meta/unit_ids.npy", np.array(texts))
    made = convert(session_of(mouse), tmp_path / "recording", SETTINGS)
    assert made.unit_ids == tuple(range(worlds.UNITS)) and list(made.units.names) == texts
    assert any("unit ids are texts" in note for note in made.made_by["notes"])
    stills = worlds.write_stills(tmp_path / "static", images=10)
    units = np.load(stills / "meta/neurons/unit_ids.npy")
    np.save(stills / "meta/neurons/unit_ids.npy", np.array([f"unit {unit}" for unit in units]))
    assert next(iter(session_of(stills).unit_ids)) == f"unit {units[0]}"


def test_a_column_of_hdf5_gives_numbers_or_texts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "session.nwb", "w") as file:
        file["units/id"], file["units/name"] = [12, 7], ["probeA_12", "probeA_7"]
    file = open_hdf5(tmp_path / "session.nwb")
    found = [unit_ids(file, f"units/{name}") for name in ("id", "name")]
    assert found == [[12, 7], ["probeA_12", "probeA_7"]]
    with pytest.raises(InputError, match=r"session: unit_ids: expected every id once, got a several times"):
        numbered(["a", "a"], where="session: unit_ids")


def test_a_table_of_ceilings_shows_the_ids_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "act.npy", np.random.default_rng(0).random((3, 4, 20)))
    np.save(tmp_path / "ids.npy", np.array(["a", "b", "c"]))
    found = array_repeats([str(tmp_path / "act.npy")], unit_ids=str(tmp_path / "ids.npy"))
    assert found.unit_ids == ("a", "b", "c")
