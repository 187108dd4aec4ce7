"""Lists of trials for import: names and numbers of movies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.data.formats.arrays_import import import_arrays

MOVIE = np.random.default_rng(3).integers(0, 256, (240, 12, 18), dtype=np.uint8)
COUNTS = np.random.default_rng(4).poisson(1.0, (9, 240))
SCALE: dict[str, Any] = {"frame_rate": 30.0, "degrees_per_pixel": 1.5, "trial_frames": 40}


def test_a_movie_named_by_digits_is_not_taken_for_a_number(tmp_path: Path) -> None:
    """Films 1.npy and 2.npy: the trial list says 1, which is the name of the first and the number of the second."""
    for number in (1, 2):
        np.save(tmp_path / f"{number}.npy", MOVIE[120 * (number - 1) : 120 * number])
    files = [tmp_path / "1.npy", tmp_path / "2.npy"]
    (tmp_path / "trials.csv").write_text("movie\n1\n2\n")
    with pytest.raises(
        ValueError, match=r"got 1, which is the name of 1\.npy and the number of 2\.npy; write the whole"
    ):
        import_arrays(tmp_path / "r", movie=files, responses=COUNTS, trials=tmp_path / "trials.csv", **SCALE)
    (tmp_path / "trials.csv").write_text("movie\n1.npy\n2.npy\n")
    recording = import_arrays(tmp_path / "r", movie=files, responses=COUNTS, trials=tmp_path / "trials.csv", **SCALE)
    shown = [np.rint(recording.trial(index).movie[0].numpy() * 255) for index in range(len(recording.tiers))]
    np.testing.assert_array_equal(np.concatenate(shown), MOVIE)
