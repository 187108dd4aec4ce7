"""Calibration clips: a tier of their own, shown once, after all other trials, which they leave as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.open import open_recording
from recon.errors import InputError
from recon.simulate import simulate
from recon.simulate.recording import presentations
from recon.simulate.settings import TINY

CALIBRATED = replace(TINY, minutes=150 / 1800, validation_clips=1, test_clips=1, repeats=2, calibration_clips=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("calibrated") / "tiny", CALIBRATED, progress=False)


def test_they_have_a_tier_and_videos_of_their_own(folder: Path) -> None:
    recording = open_recording(folder)
    trials = recording.trials("calibration")
    assert trials == (5, 6, 7)
    own = {recording.video_ids[i] for i in trials}
    assert own == {"calibration-0000", "calibration-0001", "calibration-0002"}
    trial = recording.trial(trials[0])
    assert trial.movie.shape == (1, 90, 16, 24) and trial.rates is not None and trial.caption


def test_all_other_trials_are_as_without_them(folder: Path, tmp_path: Path) -> None:
    plain = simulate(tmp_path / "plain", replace(CALIBRATED, calibration_clips=0), progress=False)
    for kind in ("videos", "responses", "behavior", "pupil_center"):
        for index in range(5):
            name = f"data/{kind}/{index}.npy"
            np.testing.assert_array_equal(np.load(folder / name), np.load(plain / name))
    one, other = open_recording(folder), open_recording(plain)
    assert one.learning_fingerprint() == other.learning_fingerprint()


def test_recordings_from_before_are_taken_for_the_same(tmp_path: Path) -> None:
    """A recording without calibration clips states nothing about them, as older ones."""
    plain = replace(CALIBRATED, calibration_clips=0)
    folder = simulate(tmp_path / "plain", plain, progress=False)
    recording = open_recording(folder)
    assert "calibration_clips" not in recording.made_by["settings"]
    assert simulate(folder, plain, progress=False) == folder
    with pytest.raises(InputError, match="calibration_clips=None"):
        simulate(folder, CALIBRATED, progress=False)


def test_they_are_shown_once_after_all_others() -> None:
    shown = [one for one in presentations(CALIBRATED) if one.split == "calibration"]
    assert [(one.trial, one.repeat) for one in shown] == [(5, 0), (6, 0), (7, 0)]
