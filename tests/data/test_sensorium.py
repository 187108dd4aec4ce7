"""The lazy reader against folders that numpy alone wrote, with every oddity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from worlds.published import edit

from recon.data.check import check
from recon.data.layout import content_id, padded_from
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.data.training_facts import TrainingFacts
from recon.types import stack


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_reads_a_published_trial(published, dtype):
    root = published(dtype=dtype)
    recording = open_recording(root)
    trial = recording.trial(1)
    video = np.load(root / "data/videos/1.npy")[..., :40]
    assert trial.movie.shape == (1, 40, 12, 16) and trial.movie.dtype == torch.float32
    np.testing.assert_allclose(trial.movie[0].numpy() * 255, np.moveaxis(video, -1, 0).astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(trial.responses.numpy(), np.load(root / "data/responses/1.npy")[:, :40])
    np.testing.assert_array_equal(trial.behavior[:2].numpy(), np.load(root / "data/behavior/1.npy")[:, :40])
    np.testing.assert_array_equal(trial.behavior[2:].numpy(), np.load(root / "data/pupil_center/1.npy")[:, :40])
    assert trial.tier == "train" and trial.responses.dtype == torch.float32


def test_metadata(published):
    recording = open_recording(published())
    assert recording.unit_ids == (1, 4, 7, 10, 13, 16, 19)
    assert recording.coordinates.shape == (7, 3)
    assert recording.frame_size == (12, 16) and recording.frame_rate == 30.0 and recording.acquisition is None
    assert recording.trials("train") == (0, 1) and recording.trials("live_test_main") == (3,)
    assert recording.name == "mouse"


def test_tiers_may_be_bytes(published):
    root = published()
    np.save(root / "meta/trials/tiers.npy", np.array([b"train", b"oracle", b"none", b"none", b"none"]))
    assert open_recording(root).tiers[:2] == ("train", "oracle")


def test_valid_frames_end_at_the_padding_of_all_arrays(published):
    root = published()
    for variable in ("videos", "responses", "behavior", "pupil_center"):
        edit(root, variable, 0, lambda array: np.where(np.arange(array.shape[-1]) < 31, array, np.nan))
    trial = open_recording(root).trial(0)
    assert trial.movie.shape[1] == trial.responses.shape[1] == trial.behavior.shape[1] == 31


def test_at_most_300_frames(published):
    recording = open_recording(published(frames=310, padding=14))
    assert recording.trial(0).responses.shape == (7, 300)


def test_trials_of_one_length_stack(published):
    recording = open_recording(published())
    movies, responses, behavior = stack([recording.trial(i) for i in (0, 1)])
    assert movies.shape == (2, 1, 40, 12, 16) and responses.shape == (2, 7, 40) and behavior.shape == (2, 4, 40)


@pytest.mark.parametrize("form", ["with time axis", "without"])
def test_statistics_are_cut_to_the_trial(published, form):
    root = published()
    file = root / "meta/statistics/responses/all/std.npy"
    if form == "without":
        np.save(file, np.load(file)[:, 0])
    cut = open_recording(root).statistic("responses", "std", frames=31)
    assert cut.shape == (7, 31)
    np.testing.assert_array_equal(cut[:, 0], np.load(file).reshape(7, -1)[:, 0])


def test_statistics_refuse_unknown_names_and_too_many_frames(published):
    recording = open_recording(published())
    with pytest.raises(ValueError, match="expected one of"):
        recording.statistic("responses", "variance", frames=3)
    with pytest.raises(ValueError, match="expected ≥ 99 frames, got 45"):
        recording.statistic("responses", "std", frames=99)


@pytest.mark.parametrize("kind", ["absent", "zero"])
def test_withheld_responses_are_refused_and_their_movie_is_not(published, kind):
    root = published()
    if kind == "absent":
        (root / "data/responses/3.npy").unlink()
    else:
        edit(root, "responses", 3, lambda array: np.where(np.isnan(array), array, 0))
    recording = open_recording(root)
    assert not recording.has_responses(3) and recording.has_responses(0) and not recording.has_responses(4)
    assert recording.frames(3).shape == (40, 12, 16)
    with pytest.raises(ValueError, match=r"responses.3\.npy: expected responses, got .* withheld"):
        recording.trial(3)


def test_absent_behavior_is_none_and_absent_streams_are_nan(published):
    root = published()
    whole = open_recording(root).trial(0).behavior
    (root / "data/behavior/0.npy").unlink()
    recording = open_recording(root)
    assert torch.equal(recording.trial(0).behavior[2:], whole[2:]) and recording.trial(0).behavior[:2].isnan().all()
    assert torch.equal(recording.part(0, 3, 9).behavior[2:], whole[2:, 3:9])
    (root / "data/pupil_center/0.npy").unlink()
    assert recording.trial(0).behavior is None and recording.trial(1).behavior is not None


@pytest.mark.parametrize("span", [slice(5, 12), slice(30, None), slice(None)])
def test_a_stretch_without_pupil_is_masked_and_the_trial_stays_whole(published, span):
    """The eye tracker is lost in the middle of a trial, to its end, or throughout; running is recorded."""
    root = published()
    whole = open_recording(root).trial(0)
    for variable, rows in (("behavior", slice(0, 1)), ("pupil_center", slice(0, 2))):
        array = np.load(root / f"data/{variable}/0.npy")
        array[rows, span] = np.nan
        np.save(root / f"data/{variable}/0.npy", array)
    recording = open_recording(root)
    trial = recording.trial(0)
    assert torch.equal(trial.responses, whole.responses) and torch.equal(trial.movie, whole.movie)
    assert torch.equal(trial.behavior[1], whole.behavior[1])
    lost = torch.zeros(trial.movie.shape[1], dtype=torch.bool).index_fill(0, torch.arange(40)[span], True)
    assert all(torch.equal(trial.behavior[row].isnan(), lost) for row in (0, 2, 3))
    assert TrainingFacts(recording).lengths[0] == 40 and check(recording).ok


def test_finds_a_nested_folder_and_ignores_what_macos_leaves(published, tmp_path):
    root = published(folder="unpacked/mouse")
    (tmp_path / "unpacked/__MACOSX/meta/trials").mkdir(parents=True)
    np.save(tmp_path / "unpacked/__MACOSX/meta/trials/tiers.npy", np.array(["train"]))
    assert open_recording(tmp_path / "unpacked").path == root


def test_missing_and_ambiguous_folders(published, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: expected the folder of a recording, got nothing; .*recon"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected one recording .* got none"):
        open_recording(tmp_path)
    published(folder="two/a"), published(folder="two/b")
    with pytest.raises(ValueError, match="got a, b; name the folder of one animal"):
        open_recording(tmp_path / "two")


def test_unknown_trials_and_trials_without_files(published):
    recording = open_recording(published())
    for index in (4, 5, -1):
        with pytest.raises(ValueError, match=f"got {index}"):
            recording.trial(index)


def test_video_ids_by_content(published):
    root = published()
    np.save(root / "data/videos/2.npy", np.load(root / "data/videos/0.npy").astype(np.float64))
    recording = open_recording(root)
    ids = recording.video_ids
    assert ids[0] == ids[2] == recording.trial(2).video_id != ids[1] and ids[4] == ""


def test_a_trial_reads_no_other_trial(published):
    root = published()
    (root / "data/videos/1.npy").write_bytes(b"")
    recording = open_recording(root)
    assert recording.trial(0).video_id
    with pytest.raises(ValueError, match=r"videos.1\.npy"):
        _ = recording.video_ids


def test_video_ids_from_the_sidecar_or_given(published):
    root = published()
    np.save(root / "meta/trials/video_ids.npy", np.array([0, 1, 0, 2, -1]))
    recording = open_recording(root)
    assert recording.video_ids == ("0", "1", "0", "2", "-1") and recording.trial(2).video_id == "0"
    recording.video_ids = ("a",) * 5
    assert recording.trial(1).video_id == "a"
    with pytest.raises(ValueError, match="expected 5 video ids"):
        recording.video_ids = ("a",)
    np.save(root / "meta/trials/video_ids.npy", np.arange(3))
    with pytest.raises(ValueError, match="expected 5 ids, got 3"):
        open_recording(root)


def test_fingerprint_follows_content_not_time_or_place(published):
    first, second = published(folder="a"), published(folder="b")
    assert SensoriumRecording(first).fingerprint() == SensoriumRecording(second).fingerprint()
    np.save(second / "meta/trials/tiers.npy", np.array(["train", "train", "train", "oracle", "none"]))
    assert SensoriumRecording(first).fingerprint() != SensoriumRecording(second).fingerprint()
    third = published(folder="c", frames=41)
    assert SensoriumRecording(first).fingerprint() != SensoriumRecording(third).fingerprint()


def test_what_is_learnt_from_names_training_and_validation_trials_alone(published):
    first, second, third = published(folder="a"), published(folder="b"), published(folder="c")
    assert SensoriumRecording(first).learning_fingerprint() == SensoriumRecording(second).learning_fingerprint()
    tiers = np.load(first / "meta/trials/tiers.npy")
    other = next(i for i, tier in enumerate(tiers) if tier not in ("train", "oracle", "none"))
    for root, index in ((second, other), (third, int(np.flatnonzero(tiers == "train")[0]))):
        file = root / f"data/responses/{index}.npy"
        np.save(file, np.load(file) + 1)
    assert SensoriumRecording(first).learning_fingerprint() == SensoriumRecording(second).learning_fingerprint()
    assert SensoriumRecording(first).learning_fingerprint() != SensoriumRecording(third).learning_fingerprint()


def test_padding_and_content_identity():
    assert padded_from(np.arange(12).reshape(3, 4)) == 4
    assert padded_from(np.full((2, 3), np.nan)) == 0
    frames = np.random.default_rng(0).integers(0, 255, (5, 4, 3))
    assert content_id(frames) == content_id(frames.astype(np.float16) + 0.25) != content_id(frames[::-1])
    assert content_id(frames) != content_id(frames.reshape(5, 3, 4))


@pytest.mark.real
def test_true_counts_of_the_published_mice(real_data, published):
    folder = real_data / "sensorium2023_metadata_viv1t"
    coordinates = np.load(folder / "neuron_coordinates/mouseF.npy")
    ids = np.load(folder / "video_ids/mouseF.npy")
    scale = np.load(folder / "statistics/mouseF/response/std.npy")
    root = published(tiers=("train",), neurons=len(coordinates))
    np.save(root / "meta/neurons/cell_motor_coordinates.npy", coordinates)
    np.save(root / "meta/statistics/responses/all/std.npy", scale)
    np.save(root / "meta/trials/tiers.npy", np.where(ids < 0, "none", "train"))
    np.save(root / "meta/trials/video_ids.npy", ids)
    recording = open_recording(root)
    assert len(recording.unit_ids) == 7863 and len(recording.tiers) == 711
    assert recording.coordinates.dtype == np.int64
    assert recording.trial(0).responses.shape == (7863, 40)
    np.testing.assert_array_equal(recording.statistic("responses", "std", frames=40)[:, 39], scale)
    repeated = {i for i in set(ids.tolist()) - {-1} if (ids == i).sum() > 1}
    assert len(set(recording.video_ids) - {"-1"}) == len(set(ids.tolist()) - {-1}) and repeated
