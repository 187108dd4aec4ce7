"""Heat maps over scales: what stands where, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps, rc_context
from PIL import Image

from recon.cli import main
from recon.report.heatmaps import heatmaps, read_maps, write_heatmaps


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
    with Image.open(tmp_path / "h.png") as picture:
        assert picture.size[0] > 150 and not set(picture.info) - {"dpi"}, "no version and no date in the file"
    _, space, time, maps = read_maps(tmp_path / "results.csv")
    panel = heatmaps(maps, (space, time), units=("cycles/degree", "Hz"), score="video correlation").axes[0]
    shown = panel.images[0].to_rgba(panel.images[0].get_array(), bytes=True)[..., :3]
    expected = [*(colormaps["viridis"](value, bytes=True)[:3] for value in (0.5, 0.9, 0.1)), (153, 153, 153)]
    assert shown.reshape(-1, 3).tolist() == [list(map(int, colour)) for colour in expected]
    assert [text.get_text() for text in panel.texts] == ["0.50", "0.90", "0.10", "–"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["0.02", "0.1"]
    assert (panel.get_title(), panel.get_xlabel(), panel.get_ylabel()) == ("map", "Hz", "cycles/degree")


def test_equal_content_has_equal_bytes_whatever_the_user_prefers(tmp_path: Path) -> None:
    write_results(tmp_path, SCORES)
    first = write_heatmaps(tmp_path, tmp_path / "a.png").read_bytes()
    with rc_context({"font.size": 20, "image.cmap": "gray", "savefig.dpi": 30}):
        assert write_heatmaps(tmp_path, tmp_path / "b.png").read_bytes() == first


def test_other_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected scores of gratings or of noise"):
        read_maps(write_results(tmp_path, {"test-0001": 0.5}))
