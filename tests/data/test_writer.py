"""The writer: what is written is read back, complete or not at all."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from recon.data.open import open_recording
from recon.data.survey import survey
from recon.data.video_findings import mixed_scales, shared_ids
from recon.data.writer import RecordingWriter
from recon.types import AcquisitionTimes

RNG = np.random.default_rng(0)


def _trial(frames=30, neurons=5):
    return {
        "video": RNG.integers(0, 256, (frames, 6, 8), dtype=np.uint8),
        "responses": RNG.gamma(1.0, 2.0, (neurons, frames)).astype(np.float32),
        "behavior": RNG.normal(size=(2, frames)).astype(np.float32),
        "pupil_center": RNG.normal(size=(2, frames)).astype(np.float32),
    }


def test_round_trip_with_all_sidecars(tmp_path):
    trials = [_trial() for _ in range(4)]
    times = AcquisitionTimes(8.0, (0.01, 0.04), (0, 1, 0, 1, 1))
    with RecordingWriter(
        tmp_path / "world",
        unit_ids=[9, 3, 5, 7, 1],
        coordinates=np.arange(15).reshape(5, 3),
        frame_rate=25.0,
        degrees_per_pixel=2.0,
        name="twin",
        acquisition=times,
        made_by={"seed": 3},
    ) as writer:
        for i, trial in zip((0, 1, 2, 5), trials, strict=True):
            scenes = [{"first": 0, "end": 30, "caption": "discs"}]
            writer.write_trial(
                i,
                tier="train" if i < 2 else "oracle",
                captions=("discs fall", "falling discs"),
                scenes=scenes,
                rates=trial["responses"] * 2,
                **trial,
            )
        writer.write_truth("orientation", np.arange(5.0))
        assert not (tmp_path / "world").exists()
    recording = open_recording(tmp_path / "world")
    assert recording.tiers == ("train", "train", "oracle", "none", "none", "oracle")
    assert recording.unit_ids == (9, 3, 5, 7, 1) and recording.acquisition == times
    assert (recording.name, recording.frame_rate, recording.degrees_per_pixel) == ("twin", 25.0, 2.0)
    assert recording.made_by == {"seed": 3}
    read = recording.trial(5)
    np.testing.assert_array_equal(np.rint(read.movie[0].numpy() * 255), trials[3]["video"])
    np.testing.assert_array_equal(read.responses.numpy(), trials[3]["responses"])
    np.testing.assert_array_equal(read.rates.numpy(), trials[3]["responses"] * 2)
    assert read.caption == "discs fall" and recording.captions(5) == ("discs fall", "falling discs")
    assert recording.scenes(0)[0]["caption"] == "discs" and recording.captions(3) == ()
    assert len(set(recording.video_ids)) == 5 and recording.video_ids[3] == ""
    np.testing.assert_array_equal(np.load(tmp_path / "world/meta/truth/orientation.npy"), np.arange(5.0))
    assert np.load(tmp_path / "world/data/videos/0.npy").dtype == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == ["world"]


def test_statistics_are_those_of_the_training_trials(tmp_path):
    trials = [_trial(frames) for frames in (20, 30, 30)]
    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        for i, trial in enumerate(trials):
            writer.write_trial(i, tier="oracle" if i == 2 else "train", **trial)
    recording = open_recording(tmp_path / "world")
    responses = np.concatenate([trial["responses"] for trial in trials[:2]], 1)
    pixels = np.concatenate([trial["video"].ravel() for trial in trials[:2]]).astype(float)
    for name in ("mean", "std", "min", "max", "median"):
        function = getattr(np, name)
        read = recording.statistic("responses", name, frames=30)
        np.testing.assert_allclose(read, np.repeat(function(responses, axis=1)[:, None], 30, 1), rtol=1e-5)
        np.testing.assert_allclose(recording.statistic("videos", name, frames=30), function(pixels), atol=0.5)


def test_withheld_responses_and_absent_behavior(tmp_path):
    shown = _trial()
    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", video=shown["video"], responses=shown["responses"], video_id="x")
        writer.write_trial(1, tier="final_test_main", video=shown["video"], video_id="x")
    recording = open_recording(tmp_path / "world")
    assert recording.trial(0).behavior is None and not recording.has_responses(1)
    assert recording.video_ids == ("x", "x")


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_and_a_living_one_is_spared(tmp_path):
    dead = tmp_path / ".world.partial-dead"
    dead.mkdir()
    (dead / ".lock").touch()
    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as first:
        assert not dead.exists()
        first.write_trial(0, tier="train", **_trial())
        second = RecordingWriter(tmp_path / "world", unit_ids=range(5))
        second.discard()
    assert open_recording(tmp_path / "world").tiers == ("train",)


def test_a_folder_is_spared_at_the_moment_it_is_published(tmp_path, monkeypatch):
    renamed = Path.rename

    def rename(path, target):
        RecordingWriter(tmp_path / "world", unit_ids=range(5)).discard()
        return renamed(path, target)

    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
        monkeypatch.setattr(Path, "rename", rename)
    assert open_recording(tmp_path / "world").tiers == ("train",)
    assert not (tmp_path / "world/.lock").exists()


def test_existing_folders_are_replaced_only_when_asked(tmp_path):
    target = tmp_path / "world"
    target.mkdir()
    (target / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="expected a new folder, got one with content"):
        RecordingWriter(target, unit_ids=range(5))
    assert (target / "mine.txt").read_text() == "keep"
    with pytest.raises(ValueError, match="expected a new folder or recon's own recording folder"):
        RecordingWriter(target, unit_ids=range(5), overwrite=True)
    assert (target / "mine.txt").read_text() == "keep"
    (target / "mine.txt").unlink()
    for tier in ("oracle", "train"):
        with RecordingWriter(target, unit_ids=range(5), overwrite=True) as writer:
            writer.write_trial(0, tier=tier, **_trial())
        assert open_recording(target).tiers == (tier,)
    assert [p.name for p in tmp_path.iterdir()] == ["world"]


def test_a_full_disk_is_one_clear_error(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    match = "expected to write the recording, got .*free space or choose another destination"
    try:
        with pytest.raises(ValueError, match=match), RecordingWriter(tmp_path / "w", unit_ids=range(5)) as writer:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            writer.write_trial(0, tier="train", **_trial())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_leaves_the_old_recording(tmp_path, monkeypatch):
    with RecordingWriter(tmp_path / "w", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
    before = open_recording(tmp_path / "w").fingerprint()

    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(ValueError, match="No space left"),
        RecordingWriter(tmp_path / "w", unit_ids=range(5), overwrite=True) as writer,
    ):
        writer.write_trial(0, tier="oracle", **_trial())
        monkeypatch.setattr(Path, "write_bytes", full)
    assert open_recording(tmp_path / "w").fingerprint() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"tier": "tset"}, "tier of trial 1: expected one of"),
        ({"tier": "none"}, "tier of trial 1"),
        ({"video": np.zeros((30, 6, 9), np.uint8)}, "expected frames of"),
        ({"video": np.zeros((301, 6, 8), np.uint8)}, "1–300 frames"),
        ({"video": np.full((30, 6, 8), 256.0)}, "expected grey levels 0–255"),
        ({"video": np.full((30, 6, 8), np.nan)}, "expected grey levels 0–255"),
        ({"responses": np.zeros((5, 29))}, r"responses of trial 1: expected \(5, 30\), got \(5, 29\)"),
        ({"responses": np.full((5, 30), np.nan)}, "responses of trial 1: expected finite"),
        ({"behavior": np.zeros((1, 30))}, "behavior of trial 1"),
    ],
)
def test_bad_trials_are_refused(tmp_path, change, match):
    with pytest.raises(ValueError, match=match), RecordingWriter(tmp_path / "w", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
        writer.write_trial(1, **({"tier": "train"} | _trial() | change))


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="every id once"):
        RecordingWriter(tmp_path / "w", unit_ids=[1, 1])
    with pytest.raises(ValueError, match=r"coordinates: expected shape \(2, 3\)"):
        RecordingWriter(tmp_path / "w", unit_ids=[1, 2], coordinates=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="plane"):
        RecordingWriter(tmp_path / "w", unit_ids=[1, 2], acquisition=AcquisitionTimes(8.0, (0.0,), (0,)))
    with pytest.raises(ValueError, match="at least one trial"), RecordingWriter(tmp_path / "w", unit_ids=[1, 2]):
        pass
    with pytest.raises(ValueError, match="taken"), RecordingWriter(tmp_path / "w", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
        writer.write_trial(0, tier="train", **_trial())


def test_a_recording_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    flushed, genuine, renamed = set(), Path.rename, []

    def rename(path, target):
        renamed.append({str(file) for file in (path, *path.rglob("*"))} - flushed)
        return genuine(path, target)

    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    monkeypatch.setattr(Path, "rename", rename)
    with RecordingWriter(tmp_path / "w", unit_ids=range(5)) as writer:
        writer.write_trial(0, tier="train", **_trial())
    assert renamed == [set()]


def test_an_id_stands_for_one_content_only(tmp_path):
    first, other = _trial(), _trial()
    with (
        pytest.raises(ValueError, match=r"video_id of trial 2: expected the video of trial 0, which has the id 'cats'"),
        RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer,
    ):
        writer.write_trial(0, tier="train", video_id="cats", **first)
        writer.write_trial(1, tier="train", video_id="cats", **{**other, "video": first["video"].astype(np.float32)})
        writer.write_trial(2, tier="train", video_id="cats", **other)
    assert list(tmp_path.iterdir()) == []


def test_ids_shared_by_other_contents_are_found(tmp_path):
    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        shown = _trial()
        for index in range(4):
            writer.write_trial(index, tier="train", **(shown if index < 2 else _trial()))
    recording = open_recording(tmp_path / "world")
    assert shared_ids(recording, survey(recording)) == []
    np.save(tmp_path / "world/meta/trials/video_ids.npy", np.array(["a", "a", "b", "b"]))
    recording = open_recording(tmp_path / "world")
    ((level, text),) = shared_ids(recording, survey(recording))
    assert level == "error" and "video id 'b': expected one content, got different videos in trials 2, 3" in text
    (tmp_path / "world/meta/trials/video_ids.npy").unlink()
    recording = open_recording(tmp_path / "world")
    assert shared_ids(recording, survey(recording)) == []


def test_trials_of_another_grey_scale_are_found(tmp_path):
    with RecordingWriter(tmp_path / "world", unit_ids=range(5)) as writer:
        for index, factor in enumerate((1, 1, 1 / 255, 0)):
            trial = _trial()
            writer.write_trial(index, tier="train", **{**trial, "video": trial["video"] * np.float32(factor)})
    recording = open_recording(tmp_path / "world")
    ((level, text),) = mixed_scales(recording, survey(recording))
    assert level == "error" and "got at most 1 in trials 2 and 0–255 in others" in text
