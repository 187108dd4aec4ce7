"""`recon.from_arrays` takes what `recon data import` takes, and makes the same recording once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import recon
from recon.data.formats.arrays_import import import_arrays
from recon.media import write_mp4

RANDOM = np.random.default_rng(0)
MOVIES = [RANDOM.integers(0, 256, (frames, 8, 12), dtype=np.uint8) for frames in (40, 30, 50, 35)]
COUNTS = [RANDOM.poisson(1.0, (6, len(movie))) for movie in MOVIES]
TIERS = ["train", "validation", "test", "train"]


def test_lists_of_trials_make_the_recording_of_the_importer(tmp_path: Path) -> None:
    how = {"tiers": TIERS, "frame_rate": 30.0, "degrees_per_pixel": 4.0}
    made = recon.from_arrays(MOVIES, COUNTS, behavior=[np.ones((2, len(movie))) for movie in MOVIES], **how)
    again = recon.from_arrays(MOVIES, COUNTS, behavior=[np.ones((2, len(movie))) for movie in MOVIES], **how)
    behavior = [np.ones((2, len(movie))) for movie in MOVIES]
    direct = import_arrays(tmp_path / "direct", movie=MOVIES, responses=COUNTS, behavior=behavior, **how)
    assert made.path == again.path and made.reader.learning_fingerprint() == direct.learning_fingerprint()
    assert made.trials == {"train": 2, "oracle": 1, "live_test_main": 1}
    assert recon.from_arrays(MOVIES, COUNTS, **how).path != made.path


def test_a_video_file_whose_content_changes_is_imported_again(tmp_path: Path) -> None:
    movie, counts = np.concatenate(MOVIES), np.concatenate(COUNTS, 1)
    write_mp4(tmp_path / "film.mp4", movie, frame_rate=30.0)
    first = recon.from_arrays(tmp_path / "film.mp4", counts[:, :-1], trim=True, trial_frames=30, animal="mouse")
    assert first.name == "mouse" and any("1 frame is cut off" in note for note in first.reader.made_by["notes"])
    write_mp4(tmp_path / "film.mp4", movie[::-1], frame_rate=30.0)
    assert recon.from_arrays(tmp_path / "film.mp4", counts[:, :-1], trim=True, trial_frames=30).path != first.path
    with pytest.raises(recon.InputError, match="let trim cut the one frame"):
        recon.from_arrays(tmp_path / "film.mp4", counts[:, :-1], trial_frames=30)


def test_a_list_of_trials_that_names_files_is_of_those_files(tmp_path: Path) -> None:
    """The same contents under swapped names are another stimulus where the list of trials names them."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, order in zip(folders, ((0, 1), (1, 0)), strict=True):
        folder.mkdir()
        for place, name in zip(order, ("a", "b"), strict=True):
            np.save(folder / f"{name}.npy", MOVIES[place][:30])
    shown = [[folders[0] / "a.npy", folders[0] / "b.npy"], [folders[1] / "b.npy", folders[1] / "a.npy"]]
    how = {"trials": ["a", "b", "a", "b"], "validation": 0.0, "test": 0.5, "frame_rate": 30.0}
    made = [recon.from_arrays(movies, np.arange(720.0).reshape(6, 120), **how) for movies in shown]
    for recording, first in zip(made, (MOVIES[0], MOVIES[1]), strict=True):
        np.testing.assert_array_equal(np.rint(recording.reader.trial(0).movie[0].numpy() * 255), first[:30])
