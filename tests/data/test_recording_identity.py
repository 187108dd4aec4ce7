"""A recording and what is learnt from it count by content: every byte, and for learning what learning sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds.published import edit

from recon.cli import main
from recon.data import content
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.methods import Ridge
from recon.methods.training_set import TrainingSet


def test_neurons_in_other_order_and_changes_behind_the_head_are_another_recording(published) -> None:
    first, second, third = (published(folder=name, neurons=40, frames=60) for name in "abc")
    assert (first / "data/responses/0.npy").stat().st_size > 2 * 4096
    edit(second, "responses", 3, lambda array: array[::-1])
    edit(third, "responses", 0, lambda array: np.vstack([array[:-1], array[-1:] + 1]))
    opened = [SensoriumRecording(root) for root in (first, second, third)]
    assert len({recording.fingerprint() for recording in opened}) == 3
    learnt = [recording.learning_fingerprint() for recording in opened]
    assert learnt[0] == learnt[1] != learnt[2], "trial 3 is a test trial, trial 0 a training trial"


def test_a_ridge_is_learnt_again_from_training_responses_that_changed_behind_the_head(published, tmp_path) -> None:
    root = published(neurons=40, frames=60)

    def learnt() -> Path | None:
        recording = open_recording(root)
        training = TrainingSet(recording, torch.ones(40, dtype=torch.bool), tmp_path / "artefacts", frames=60)
        return Ridge().fit(training).artefact

    first = learnt()
    edit(root, "responses", 3, lambda array: array[::-1])
    assert learnt() == first, "test trials are not learnt from"
    edit(root, "responses", 0, lambda array: np.vstack([array[:20], array[:19:-1]]))
    assert learnt() != first


def test_whatever_learning_sees_counts_and_nothing_else(published) -> None:
    root = published()
    about = root / "meta/trials/captions.jsonl"
    lines = [{"trial": 0, "captions": ["a bird"]}, {"trial": 3, "captions": ["a fish"]}]

    def found(**captions: str) -> str:
        texts = [line | {"captions": [captions.get(f"of_{line['trial']}", line["captions"][0])]} for line in lines]
        about.write_text("\n".join(json.dumps(line) for line in texts))
        return SensoriumRecording(root).learning_fingerprint()

    first = found()
    assert found(of_3="a whale") == first != found(of_0="a whale")
    (root / "meta/recording.json").write_text(json.dumps({"name": "other"}))
    assert found() == first
    seen = {first}
    header = {"acquisition": {"rate": 8.0, "phase": [0.0]}}
    for name, array in (
        ("meta/recording.json", None),
        ("meta/neurons/area.npy", np.array(["V1"] * 7)),
        ("meta/neurons/cell_motor_coordinates.npy", np.ones((7, 3))),
        ("meta/neurons/plane.npy", np.zeros(7, np.int64)),
        ("meta/statistics/responses/all/std.npy", np.ones((7, 45), np.float32)),
        ("meta/trials/video_ids.npy", np.arange(5)),
    ):
        (root / name).write_text(json.dumps(header)) if array is None else np.save(root / name, array)
        seen.add(found())
    assert len(seen) == 7


def test_links_count_by_what_they_point_to(published, tmp_path) -> None:
    root = published()
    whole = SensoriumRecording(root).fingerprint()
    (root / "data/responses").rename(tmp_path / "elsewhere")
    (root / "data/responses").symlink_to(tmp_path / "elsewhere")
    (root / "data/videos/0.npy").rename(tmp_path / "video.npy")
    (root / "data/videos/0.npy").symlink_to(tmp_path / "video.npy")
    (root / "data/again").symlink_to(root / "data")
    (root / "data/gone").symlink_to(tmp_path / "nowhere")
    assert SensoriumRecording(root).fingerprint() == whole, "a link to a folder above is not followed for ever"
    np.save(tmp_path / "elsewhere/0.npy", np.load(tmp_path / "elsewhere/0.npy")[::-1])
    assert SensoriumRecording(root).fingerprint() != whole


def test_verify_reaches_the_hashes_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["benchmark"],
        ["reconstruct"],
        ["ablate"],
        ["rerun"],
        ["identify"],
        ["language"],
        ["train", "encoder"],
    ):
        monkeypatch.setenv("RECON_VERIFY_SINCE", "")
        main([*arguments, str(tmp_path / "none"), "--verify"])
        assert content._since() > 0, arguments
    capsys.readouterr()
