"""DwiseNeuro trained from a configuration: the saved file is an encoder of its recording; wrong ones are refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worlds.dwise_training import CONFIGS, CPU, TREE

from recon import cli, config, encoders
from recon.data.open import open_recording
from recon.encoders.dwiseneuro.argus_files import convert, read_published
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.dwiseneuro.train import (
    DwiseRun,
    train_dwise,
)
from recon.encoders.training.clips import TrainingClip, evaluate
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.study.encoders import Arithmetic, ready_encoder
from recon.train.autoencoder import AutoencoderTraining
from recon.train.cascade_coarse import CoarseTraining
from recon.train.cascade_fine import FineTraining
from recon.train.decoder import DecoderTraining
from recon.train.dwiseneuro import DwiseTraining, KeptClips, Room, train_dwiseneuro
from recon.train.encoder import EncoderTraining
from recon.train.prior import PriorTraining


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_of_a_training_is_valid(file: Path) -> None:
    tree = config.load(file)
    kind: type[Any] = DwiseTraining if tree.get("encoder") == "dwiseneuro" else EncoderTraining
    if "method" in tree or "encoder" not in tree:
        others = PriorTraining if "clips" in tree else AutoencoderTraining
        kind = DecoderTraining if "method" in tree else others
    kind = {"coarse": CoarseTraining, "fine": FineTraining}.get(tree.get("stage", ""), kind)
    chosen = config.record(kind, tree, where="train")
    for_the_user = {"own_encoder": "mine", "own_judge": "mine_judge"}
    assert chosen.output.name == f"{for_the_user.get(file.stem, file.stem)}.safetensors"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"neurons": 5, "minutes": 0.1, "train_frames": 60, "clip_frames": 40, "validation_clips": 2}
    settings = replace(TINY, frame_size=(36, 64), degrees_per_pixel=1.94, test_clips=1, repeats=2, **sizes)
    return simulate(tmp_path_factory.mktemp("recordings") / "tiny", settings, progress=False)


def tree(recordings: Any, output: Path, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    training = {"sampling": {"samples": 8, "batch": 4}, "warmup_epochs": 1, "epochs": 1, "average": 0.5}
    basic = {"encoder": "dwiseneuro", "recording": recordings, "output": str(output), "device": "cpu"}
    return basic | {"architecture": TREE, "training": training, "validations": 2, "warmup_frames": 8} | (changes or {})


def test_the_saved_file_is_an_encoder_of_its_recording(
    recording: Path, published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = published(tiers=("train", "train", "oracle", "oracle"), neurons=7, size=(36, 64), folder="second")
    runs: list[DwiseRun] = []
    genuine = train_dwise

    def remembered(*arguments: Any, **options: Any) -> DwiseRun:
        runs.append(genuine(*arguments, **options))
        return runs[-1]

    monkeypatch.setattr("recon.train.dwiseneuro.train_dwise", remembered)
    path = train_dwiseneuro(tree([str(recording), str(second)], tmp_path / "two.safetensors"))
    opened = open_recording(recording)
    encoder = encoders.load("dwiseneuro", weights=str(path), mouse="tiny")
    assert encoder.spec.neuron_ids == opened.unit_ids and encoder.spec.degrees_per_pixel == 1.94
    trials = [opened.trial(index) for index in opened.trials("oracle")]
    arguments = trials[0].movie[None], trials[0].behavior[None]
    for place in (0, 1):
        loaded = encoders.load("dwiseneuro", weights=str(path), mouse=str(place))
        with torch.no_grad():
            assert torch.equal(loaded(*arguments), DwiseNeuro(runs[0].averaged, place)(*arguments))
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == "two" and [entry["recording"] for entry in card["data"]] == ["tiny", "second"]
    assert card["data"][0]["fingerprint"] == opened.fingerprint() and card["steps"] == 4
    watched = [opened.trial(index) for index in (trials[0].index, trials[2].index)]
    assert len({trial.video_id for trial in watched}) == 2
    score = evaluate(encoder, [TrainingClip(t.movie, t.responses, t.behavior) for t in watched], warmup=8).nanmean()
    assert card["mice"]["tiny"]["validation_correlation"] == pytest.approx(float(score), abs=1e-4)
    assert not path.with_suffix(".training").exists()
    back = convert(path, tmp_path / "two.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(*(read_published(p).tensors.values() for p in (path, back)), strict=True)
    )
    with pytest.raises(ValueError, match="mouse: expected one of tiny, second, or a readout number 0–1, got 'other'"):
        encoders.load("dwiseneuro", weights=str(path), mouse="other")


def test_named_neurons_are_not_renamed(recording: Path, tmp_path: Path) -> None:
    path = train_dwiseneuro(tree(str(recording), tmp_path / "one.safetensors"))
    opened = open_recording(recording)
    chosen = {"name": "dwiseneuro", "weights": str(path), "mouse": "tiny"}
    assert ready_encoder(chosen, opened, Arithmetic(CPU), where="encoders.a").spec.neuron_ids == opened.unit_ids
    shutil.copytree(recording, tmp_path / "turned")
    np.save(tmp_path / "turned/meta/neurons/unit_ids.npy", opened.unit_ids[::-1])
    turned = open_recording(tmp_path / "turned")
    with pytest.raises(ValueError, match="expected neuron 5 at place 0"):
        ready_encoder(chosen, turned, Arithmetic(CPU), where="encoders.a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"architecture": {"width": 3}}, "train.architecture: expected one of readout_outputs.*got key 'width'"),
        ({"architecture": {"readout_outputs": [3]}}, "readout_outputs: expected none"),
        ({"training": {"epochs": 1.5}}, "train.training.epochs"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"training": {"sampling": {"cutmix": 2.0}}}, "cutmix"),
        ({"training": {"sampling": {"samples": 2}}}, "samples: expected at least 32"),
        ({"training": {"precision": "float8"}}, "train.training.precision"),
        ({"architecture": {"frames": 80}}, "expected at least 159 frames"),
        ({"recording": "nowhere"}, "nowhere"),
        ({"recording": ["RECORDING", "RECORDING"]}, "recording: expected different animals, got 'tiny' twice"),
    ],
)
def test_a_wrong_configuration_is_one_clear_error(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    if isinstance(changes.get("recording"), list):
        changes = {"recording": [str(recording)] * 2}
    with pytest.raises(ValueError, match=message):
        train_dwiseneuro(tree(str(recording), tmp_path / "x.safetensors", changes))
    assert not list(tmp_path.iterdir())
    (tmp_path / "train.yaml").write_text(json.dumps(tree(str(recording), tmp_path / "x.safetensors", changes)))
    assert cli.main(["train", "encoder", str(tmp_path / "train.yaml")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and re.search(message, shown), "the command hands it to DwiseNeuro's training"


def test_recordings_of_other_frames_or_without_behavior_are_refused(tmp_path: Path, published: Any) -> None:
    small = published(folder="small")
    with pytest.raises(ValueError, match=r"expected frames of \(36, 64\) for DwiseNeuro, got \(12, 16\)"):
        train_dwiseneuro(tree(str(small), tmp_path / "x.safetensors"))
    still = published(size=(36, 64), folder="still")
    shutil.rmtree(still / "data" / "behavior")
    with pytest.raises(ValueError, match="still: expected pupil and running for DwiseNeuro, got none"):
        train_dwiseneuro(tree(str(still), tmp_path / "x.safetensors"))


def test_trials_are_kept_while_there_is_room(recording: Path) -> None:
    opened = open_recording(recording)
    indices = opened.trials("train")
    assert len(indices) == 3
    size = KeptClips(opened, indices, Room(0))[0].movie.nbytes
    clips = KeptClips(opened, indices, Room(2.5 * size))
    first = [clips[place] for place in range(3)]
    assert [clips[place] is first[place] for place in range(3)] == [True, True, False]
    assert torch.equal(clips[2].movie, first[2].movie) and clips[1:][1].movie.shape == first[2].movie.shape
