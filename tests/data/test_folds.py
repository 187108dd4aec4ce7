"""The folds of DwiseNeuro's authors: hashes of the public code, and the trials that a fold or a list names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.data.folds import FOLDS, fold_trials, video_hash
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.problem.clips import Clips, choose_clips

PUBLIC = {(0, 300): 18004574780674650863, (1, 31): 17825749890152459111, (2, 7): 13449215980057204169}
"""Hashes by `calculate_video_phash` of lRomul/sensorium, by seed and frames of `video`."""


def video(seed: int, frames: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (frames, 5, 8)).repeat(8, 1)[:, :36].repeat(8, 2)
    return np.clip(coarse + random.integers(0, 30, (frames, 36, 64)), 0, 255).astype(np.float32)


@pytest.mark.parametrize(("seed", "frames"), PUBLIC)
def test_hashes_are_those_of_the_public_code(seed: int, frames: int) -> None:
    assert video_hash(video(seed, frames)) == PUBLIC[seed, frames]


def test_a_video_of_few_frames_has_no_hash() -> None:
    with pytest.raises(ValueError, match="expected 5 frames or more, got 4"):
        video_hash(video(0, 4))


@pytest.fixture(scope="module")
def recording(world: Path) -> SensoriumRecording:
    return open_recording(world / "recording")


def test_every_trial_of_training_and_validation_is_in_one_fold(recording: SensoriumRecording) -> None:
    folds = [fold_trials(recording, fold) for fold in range(FOLDS)]
    labelled = [i for i, tier in enumerate(recording.tiers) if tier in ("train", "oracle")]
    assert sorted(sum(folds, ())) == labelled
    assert all(list(fold) == sorted(fold) for fold in folds) and sum(map(bool, folds)) > 1
    with pytest.raises(ValueError, match="fold: expected 0–6, got 7"):
        fold_trials(recording, 7)


def test_old_mice_have_all_their_trials_in_folds(
    recording: SensoriumRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "name", "dynamic29156-11-10-Video-8744edeac3b4d1ce16b680916b5267ce")
    folds = [fold_trials(recording, fold) for fold in range(FOLDS)]
    assert sorted(sum(folds, ())) == [i for i, tier in enumerate(recording.tiers) if tier != "none"]


def test_skipped_videos_are_those_at_the_start(recording: SensoriumRecording) -> None:
    shown = choose_clips(recording, Clips(count=2))
    assert [clip.trial.index for clip in choose_clips(recording, Clips(skip=1, count=1))] == [shown[1].trial.index]
    with pytest.raises(ValueError, match="after 98 that are skipped, got"):
        choose_clips(recording, Clips(skip=98, count=1))
    for wrong in ({"skip": -1}, {"skip": 1, "trials": (0,)}):
        with pytest.raises(ValueError, match="skip: expected 0 or more"):
            Clips(**wrong)


def test_clips_by_fold_and_by_number(recording: SensoriumRecording) -> None:
    fold = max(range(FOLDS), key=lambda number: len(fold_trials(recording, number)))
    trials = fold_trials(recording, fold)
    assert [clip.trial.index for clip in choose_clips(recording, Clips(fold=fold, count=1))] == list(trials[:1])
    with pytest.raises(ValueError, match=f"expected 99 trials with responses in fold {fold}, got {len(trials)}"):
        choose_clips(recording, Clips(fold=fold, count=99))
    repeated = choose_clips(recording, Clips(count=1))[0]
    by_number = choose_clips(recording, Clips(trials=(repeated.repeats[0], 0)))
    assert [clip.trial.index for clip in by_number] == [repeated.repeats[0], 0]
    assert set(by_number[0].repeats) == {repeated.trial.index, *repeated.repeats[1:]}
    with pytest.raises(ValueError, match=r"clips\.trials: expected trials with responses.*got 9999"):
        choose_clips(recording, Clips(trials=(9999,)))
    assert [c.trial.index for c in choose_clips(recording, Clips(fold=fold, skip=1, count=1))] == list(trials[1:2])
    with pytest.raises(ValueError, match="each number once"):
        Clips(trials=(1, 1))
