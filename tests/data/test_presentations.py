"""Presentations from table rows: swapped, duplicated, blank, reversed and overlapping rows split or lose nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from worlds import stimuli as worlds
from worlds.formats import VIDEO
from worlds.formats_nwb import write_microns
from worlds.sessions import films, session_of

from recon.data.formats.convert import convert
from recon.data.formats.nwb import NwbMapping
from recon.data.formats.nwb import read as read_nwb
from recon.data.formats.presentations import blocks_of, frame_numbers, in_order, repeats_of
from recon.data.formats.session import ShownStimulus

FRAMES, REPEATS = 1800, 3
Array = np.ndarray[Any, Any]


def movie_rows() -> tuple[Array, Array]:
    """Return frame numbers and first imaging frames of three repeats of 1800 frames, without pauses."""
    return np.tile(np.arange(FRAMES), REPEATS), np.arange(30, 30 + REPEATS * FRAMES)


def lengths(starts: Any, numbers: Any, **more: Any) -> list[int]:
    starts = np.asarray(starts, dtype=np.float64)
    rows = in_order(starts, starts + 1 / 30, numbers=np.asarray(numbers), about="movie", notes=[], **more)
    return [len(each.starts) for each in repeats_of(rows)]


def swap(order: Array, first: int, second: int) -> Array:
    order = order.copy()
    order[[first, second]] = order[[second, first]]
    return order


def test_two_swapped_rows_of_an_allen_table_change_nothing(tmp_path: Path) -> None:
    numbers, firsts = movie_rows()
    order = swap(np.arange(len(numbers)), 2500, 2501)
    table = {"data": numbers[order], "spans": np.stack([firsts, firsts + 1], 1)[order]}
    template = worlds.noise(FRAMES, (6, 8))
    path = worlds.write_two_photon(
        tmp_path / "a.nwb", {"natural_movie_three": table | {"template": template}}, seconds=200
    )
    session = session_of(path)
    assert [len(shown.onsets) for shown in session.shown] == [FRAMES] * REPEATS
    assert np.array_equal(session.shown[1].read(np.array([701, 700])), template[[701, 700]])
    assert any("sorted by time; 1 began before the row above" in note for note in session.notes)
    recording = convert(session, tmp_path / "recording")
    ids, counts = np.unique(recording.video_ids, return_counts=True)
    assert len(ids) == 6 and counts.tolist() == [REPEATS] * 6


@pytest.mark.parametrize("mapped", [False, True])
def test_two_swapped_rows_of_neuropixels_tables_change_nothing(mapped: bool, tmp_path: Path) -> None:
    order = swap(np.arange(180), 70, 75)
    starts = 1 + np.arange(180) / 30
    columns = {"start_time": starts[order], "stop_time": starts[order] + 1 / 30}
    columns["frame"] = np.tile(np.arange(60.0), REPEATS)[order]
    template = {"natural_movie_one_image_stack": worlds.noise(60, (6, 8))}
    path = worlds.write_units(tmp_path / "a.nwb", {"natural_movie_one": columns}, seconds=9, templates=template)
    where = NwbMapping(units="units", movie="stimulus/templates/*", intervals=("intervals/*",), frame="frame")
    session = read_nwb(path, where if mapped else None)
    assert [len(shown.onsets) for shown in session.shown] == [60] * REPEATS
    assert all(np.array_equal(shown.read(np.arange(60)), worlds.noise(60, (6, 8))) for shown in session.shown)


def test_swapped_duplicated_and_overlapping_clips_are_sorted_and_told(tmp_path: Path) -> None:
    path = write_microns(tmp_path / "scan.nwb", films(60.0))
    right = session_of(Path(shutil.copy(path, tmp_path / "right.nwb")))
    with h5py.File(path, "r+") as file:
        clips = file["intervals/Clip"]
        for name in ("start_time", "stop_time", "condition_hash"):
            column = clips[name][()]
            column[[2, 3]] = column[[3, 2]]
            column[7] = column[6]
            clips[name][...] = column
        clips["stop_time"][0] = clips["start_time"][1] + 2  # two seconds into the next clip
        clock = file[f"{VIDEO}/timestamps"]
        clock[500:502] = clock[500:502][::-1]
    session = session_of(path)
    assert [shown.content for shown in session.shown] == [shown.content for shown in right.shown[:7]]
    assert [len(shown.onsets) for shown in session.shown] == [len(shown.onsets) for shown in right.shown[:7]]
    notes = " ".join(session.notes)
    assert "1 duplicated rows" in notes and "1 rows overlap" in notes and "sorted by time" in notes


def test_a_movie_breaks_only_where_time_or_frame_order_breaks() -> None:
    time = np.arange(120) / 30
    numbers = np.tile(np.arange(40), 3)
    assert lengths(time, numbers) == [40, 40, 40]
    assert lengths(time + 2.0 * (np.arange(120) >= 60), numbers) == [40, 20, 20, 40]  # a pause
    assert lengths(time, swap(numbers, 50, 51)) == [40, 40, 40]  # frames in a wrong order, times right
    assert lengths(time, np.delete(np.append(numbers, 39), 40)) == [40, 39, 41]  # the second begins at frame 1
    blank = np.where(np.arange(120) // 10 == 5, -1, numbers)
    assert lengths(time, blank) == [40, 10, 20, 40]
    assert lengths(time, np.zeros(120, int), repeats=np.repeat([0.0, 1, 2], 40)) == [40, 40, 40]
    assert lengths(time, np.full(120, -1)) == [] and lengths([], []) == []
    # Two frames in one tick of the clock: the later one is kept, in either order.
    assert lengths(np.floor(time * 15 + 1e-6) / 15, np.arange(120)) == [60]
    assert lengths(np.floor(time * 15 + 1e-6) / 15, np.arange(120).reshape(-1, 2)[:, ::-1].ravel()) == [60]


def test_damaged_rows_are_mended_or_left_out_and_told() -> None:
    starts = np.array([0.0, 1, 2, 2, np.nan, 3, 4])
    stops = np.array([1.0, 0.5, 3, 3, 5, 4.6, 5])
    notes: list[str] = []
    rows = in_order(starts, stops, numbers=np.array([0, 1, 2, 2, 9, 3, 4]), about="table", notes=notes)
    assert rows.starts.tolist() == [0, 1, 2, 3, 4] and rows.numbers.tolist() == [0, 1, 2, 3, 4]
    assert rows.stops.tolist() == [1, 2, 3, 4, 5] and rows.places.tolist() == [0, 1, 2, 5, 6]
    assert [note.split(": ")[1] for note in notes] == [
        "1 rows without a start time are left out",
        "1 duplicated rows are left out",
        "1 rows have no end after their start",
        "1 rows overlap the next",
    ]
    assert [len(block.starts) for block in blocks_of(rows)] == [5]
    with pytest.raises(ValueError, match="expected columns of one length, got 7 starts, 6 stops"):
        in_order(starts, stops[:6], numbers=np.zeros(7), about="table", notes=[])


def test_frames_that_the_template_does_not_have_are_refused() -> None:
    for wrong in (3.0, -2.0, 0.5, np.inf):
        with pytest.raises(ValueError, match="expected frames 0–2, −1 for blanks"):
            frame_numbers(np.array([0.0, wrong]), 3, "scenes")


def test_presentations_of_more_than_a_day_are_refused() -> None:
    with pytest.raises(ValueError, match="expected rows of seconds, got one of more than a day"):
        in_order(np.zeros(1), np.full(1, 1e9), numbers=np.zeros(1), about="table", notes=[])
    with pytest.raises(ValueError, match="expected at most a day, got 1e"):
        ShownStimulus(np.array([0.0, 1.0]), 1e9, lambda numbers: numbers)
