"""Film strips of a run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from worlds.finished_run import make_run

from recon.report.strips import write_strip


def test_a_strip_shows_the_truth_above_the_methods(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    picture = write_strip(run, tmp_path / "strip.png", methods=["ridge", "map_spectrum"], clips=2, count=5)
    strip = np.asarray(Image.open(picture))
    assert strip.shape[0] == 2 * (3 * 24 + 2 * 2) + 8
    assert strip.shape[1] > 5 * 40


def test_methods_that_are_not_there_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="rigde"):
        write_strip(run, tmp_path / "strip.png", methods=["rigde"])


def test_methods_by_name_may_be_references_and_few_frames_stand_side_by_side(tmp_path: Path) -> None:
    run, name = make_run(tmp_path / "run"), "map_spectrum, predicted"
    named, all_recorded = (
        np.asarray(Image.open(write_strip(run, tmp_path / "strip.png", methods=methods, clips=2, count=2)))
        for methods in ([name], [])
    )
    assert named.shape[0] == 2 * 24 + 2
    rows = (all_recorded.shape[0] + 2) // (24 + 2)
    assert rows > 2, "the truth and several recorded methods, but no reference"
    assert all_recorded.shape[0] == rows * 24 + (rows - 1) * 2
