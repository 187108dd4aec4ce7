"""Kinds of stimuli: from a file beside the tiers, of the public mice by their tiers, and clips chosen by kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.data.check import check, info
from recon.data.sensorium import SensoriumRecording
from recon.data.stimulus_kinds import BONUS, KINDS, STIMULI_FILE, stimulus_kinds
from recon.data.writer import RecordingWriter
from recon.problem.clips import Clips, choose_clips

TIERS = ("train", "oracle", "live_test_main", "live_test_bonus", "live_test_bonus", "final_test_bonus")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of noise in six tiers."""
    generator = np.random.default_rng(1)
    with RecordingWriter(tmp_path / "mouse", unit_ids=[1, 2]) as writer:
        for index, tier in enumerate(TIERS):
            video = generator.integers(0, 256, (12, 4, 6)).astype(np.uint8)
            writer.write_trial(index, tier=tier, video=video, responses=generator.random((2, 12)))
    return tmp_path / "mouse"


def test_the_bonus_tiers_of_public_mice_are_known_by_name(folder: Path) -> None:
    assert stimulus_kinds(folder, "dynamic29623-4-9-Video-9b4f6a1a067fe51e15306b9628efea20", TIERS) == (
        *["movie"] * 3,
        *["drifting gabor"] * 2,
        "random dot kinematogram or image",
    )
    assert stimulus_kinds(folder, "another mouse", TIERS) == ("",) * 6
    assert {live for live, _ in BONUS.values()} | {kind for _, final in BONUS.values() for kind in final} == {
        *KINDS[1:]
    }
    assert all(live not in final for live, final in BONUS.values())


def test_clips_of_one_kind_are_taken(folder: Path) -> None:
    np.save(folder / STIMULI_FILE, np.array([0, 0, 0, 2, 4, -1]))
    recording = SensoriumRecording(folder)
    assert recording.stimuli == ("movie", "movie", "movie", "gaussian dots", "drifting gabor", "")
    assert [
        clip.trial.index for clip in choose_clips(recording, Clips("live_test_bonus", 1, stimulus="drifting gabor"))
    ] == [4]
    assert [clip.trial.index for clip in choose_clips(recording, Clips("live_test_bonus", 2))] == [3, 4]
    with pytest.raises(
        ValueError, match=r"that show image, got 0 in .* or stimulus of drifting gabor, gaussian dots, movie"
    ):
        choose_clips(recording, Clips("live_test_bonus", 1, stimulus="image"))
    with pytest.raises(ValueError, match="stimulus: expected one with a tier only"):
        Clips(trials=(1,), stimulus="image")
    assert "stimuli     3 movie, 1 gaussian dots, 1 drifting gabor" in info(recording)
    assert check(recording).facts["stimuli"] == {"movie": 3, "gaussian dots": 1, "drifting gabor": 1}


def test_words_are_kept_and_a_file_that_does_not_fit_is_refused(folder: Path) -> None:
    np.save(folder / STIMULI_FILE, np.array(["grating", "", "", "plaid", "plaid", ""]))
    assert SensoriumRecording(folder).stimuli[3] == "plaid"
    for wrong in (np.zeros(5, int), np.full(6, 9), np.zeros(6)):
        np.save(folder / STIMULI_FILE, wrong)
        with pytest.raises(ValueError, match="expected a word or a number below 6 for each of 6 trials"):
            choose_clips(SensoriumRecording(folder), Clips("live_test_bonus", 1, stimulus="image"))
