"""Heat maps over scales: what stands where, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.cli import main
from recon.report.heatmaps import CELL, LEFT, TOP, colour, read_maps


def write_results(folder: Path, names: dict[str, float | str]) -> Path:
    with (folder / "results.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["method", "video_id", "video_correlation"])
        table.writeheader()
        for name, score in names.items():
            table.writerow({"method": "map", "video_id": name, "video_correlation": score})
    return folder / "results.csv"


SCORES = {"gratings_0.1_2": 0.1, "gratings_0.02_10": 0.9, "gratings_0.02_2": 0.5, "gratings_0.1_10": ""}


def test_scores_stand_at_their_scales_in_rising_order(tmp_path: Path) -> None:
    kind, space, time, maps = read_maps(write_results(tmp_path, SCORES))
    assert (kind, space, time) == ("gratings", [0.02, 0.1], [2.0, 10.0])
    np.testing.assert_array_equal(maps["map"], [[0.5, 0.9], [0.1, np.nan]])


def test_the_picture_shows_each_score_in_its_colour(tmp_path: Path) -> None:
    write_results(tmp_path, SCORES)
    assert main(["report", str(tmp_path), "--heatmap", str(tmp_path / "h.png")]) == 0
    picture = Image.open(tmp_path / "h.png").convert("RGB")
    for (row, column), value in {(0, 0): 0.5, (0, 1): 0.9, (1, 0): 0.1, (1, 1): float("nan")}.items():
        assert picture.getpixel((LEFT + column * CELL + 2, TOP + row * CELL + 2)) == colour(value)


def test_other_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected scores of gratings or of noise"):
        read_maps(write_results(tmp_path, {"test-0001": 0.5}))
