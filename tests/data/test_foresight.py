"""A check of a recording says what methods, scores and ablations will miss in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.check import check
from recon.data.formats.arrays_import import import_arrays
from recon.study.foresight import foreseen

RANDOM = np.random.default_rng(0)


def said(folder: Path, lengths: list[int], tiers: list[str]) -> str:
    """Return what is foreseen for a recording of trials of these lengths and tiers."""
    movies = [RANDOM.integers(0, 256, (length, 8, 12), dtype=np.uint8) for length in lengths]
    responses = [RANDOM.poisson(1.0, (4, length)) + 1 for length in lengths]
    recording = import_arrays(folder / "r", movie=movies, responses=responses, tiers=tiers, frame_rate=30.0)
    report = check(recording, also=[foreseen])
    assert report.ok
    return "\n".join(report.foreseen)


def test_one_training_clip_is_too_few_for_ridge(tmp_path: Path) -> None:
    text = said(tmp_path, [90, 80, 70, 70], ["train", "validation", "test", "test"])
    line = next(line for line in text.splitlines() if "expected at least 2 of tier 'train', got 1 in r" in line)
    assert {"ridge", "ridge_and_map"} <= set(line.partition(":")[0].split(", "))
    assert "map_centred: validation clips: expected one of 70 frames" in text


def test_without_validation_and_with_short_clips(tmp_path: Path) -> None:
    text = said(tmp_path, [90, 90, 40], ["train", "train", "test"])
    assert "no validation clips (tier 'oracle'): training an encoder and tuning a method need them" in text
    assert "1 test clip (tier 'live_test_main'): the null takes the activity of another clip" in text
    assert "all test clips are shorter than 60 frames (40): the first 50 and the last 8 are not scored" in text
    assert "no captions" in text and "no test clip was shown twice" in text and "ridge" not in text
