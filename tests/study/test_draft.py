"""`recon init`: a configuration that can run on a recording, with what cannot and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from recon import config
from recon.cli import main
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Spec
from recon.encoders.checkpoints import load_encoder
from recon.encoders.judge import JudgeSettings
from recon.encoders.linear import LinearSettings
from recon.errors import InputError
from recon.study.draft import Draft, Places, batch_that_fits, bytes_of_clip, draft
from recon.study.draft_text import text_of
from recon.study.validation import validated
from recon.train.encoder import EncoderTraining, scaled, train_encoder


def drafted(recording: Path, **more: str) -> Draft:
    return draft(Places(recording, Path("runs/mine"), Path("weights/mine.safetensors"), **more))


def with_tiers(world: Path, folder: Path, **renamed: str) -> Path:
    """Copy the recording, with tiers under other names."""
    shutil.copytree(world / "recording", folder)
    path = folder / "meta/trials/tiers.npy"
    np.save(path, np.array([renamed.get(tier, tier) for tier in np.load(path).tolist()]))
    return folder


def at_rate(world: Path, folder: Path, rate: float) -> Path:
    shutil.copytree(world / "recording", folder)
    header = folder / "meta/recording.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"frame_rate": rate}))
    return folder


def test_the_command_writes_a_configuration_that_runs(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "recording", "my recordings/mine")
    encoder = str(world / "encoder0.safetensors")
    command = ["init", "my recordings/mine", "--encoder", encoder, "--judge", str(world / "encoder1.safetensors")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.endswith("next: recon benchmark mine.yaml\n")
    tree = config.load(tmp_path / "mine.yaml")
    assert [row["label"] for row in tree["rows"]] == ["mean", "ridge", "map_spectrum", "map_spectrum, wrong clip"]
    assert tree["judge"]["name"] == "core_readout"
    assert tree["run"] == "runs/mine" and tree["clips"] == {"tier": "live_test_main", "count": 3}
    assert tree["frames"] == {"warmup": 50, "tail": 8} and tree["batch"] == 3
    validated(tree)
    text = (tmp_path / "mine.yaml").read_text()
    assert "# - {label: sta, method: {preset: sta}}" in text and max(map(len, text.splitlines())) <= 120
    assert "diffusion_dps" in text and "expected movies of 36 × 64 pixels of 1.94°" in text
    assert main(command) == 2
    assert "expected no file of this name, got one" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(["init", "my recordings/mine", "--output", "mine.txt"]) == 2


def test_every_commented_row_is_valid(world: Path) -> None:
    found = drafted(world / "recording", encoder=str(world / "encoder0.safetensors"))
    text = text_of(found, command="recon benchmark mine.yaml")
    rows = [
        yaml.safe_load(line.strip().removeprefix("# - ")) for line in text.splitlines() if line.startswith("  # - ")
    ]
    assert len(rows) == len(found.others) > 10
    validated(config.expand({**found.tree, "rows": [*found.tree["rows"], *rows]}))


def test_without_an_encoder_the_weights_to_be_trained_are_named(world: Path) -> None:
    found = drafted(world / "recording")
    assert found.tree["encoders"] == {"own": {"name": "core_readout", "weights": "weights/mine.safetensors"}}


def test_another_frame_rate_has_other_lags_and_frames(world: Path, tmp_path: Path) -> None:
    tree: dict[str, Any] = dict(drafted(at_rate(world, tmp_path / "fast", 60.0)).tree)
    ridge = next(row for row in tree["rows"] if row["label"] == "ridge")
    assert ridge["method"] == {"preset": "ridge", "lags": {"first": -2, "last": 28, "bases": 5}}
    assert tree["frames"] == {"warmup": 30, "tail": 15}, "100 and 16 frames leave nothing of 90"


def test_other_tiers_are_taken_where_there_is_no_test(world: Path, tmp_path: Path) -> None:
    found = drafted(with_tiers(world, tmp_path / "one", live_test_main="none"))
    assert found.tree["clips"] == {"tier": "oracle", "count": 2}
    with pytest.raises(InputError, match="expected test or validation trials with responses, got none"):
        drafted(with_tiers(world, tmp_path / "two", live_test_main="none", oracle="train"))


def test_without_training_trials_nothing_can_run(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a method that can run on .*, got none: training trials"):
        drafted(with_tiers(world, tmp_path / "none", train="none"))


def test_an_encoder_of_other_neurons_is_refused(world: Path) -> None:
    with pytest.raises(InputError, match=r"encoders\.own: expected 24 neurons"):
        drafted(world / "recording", encoder="v1_seed0")


def test_the_batch_fits_into_the_memory(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(world / "encoder0.safetensors")
    short, long = (bytes_of_clip(encoder, frames) for frames in (30, 300))
    assert long == pytest.approx(10 * short) and short > 30 * 16 * 24 * 4 * 48
    from worlds.bench import bench_of, configuration

    bench = bench_of(configuration(world))
    one = bytes_of_clip(bench.encoders["first"], 90)
    for fitting, batch in ((0.5, 1), (2.5, 2), (100.0, 3)):
        monkeypatch.setattr("recon.study.draft.free_memory", lambda device, n=fitting: 4 * n * one)
        assert batch_that_fits(bench) == batch


def test_history_and_cells_are_those_of_the_recording(world: Path, tmp_path: Path) -> None:
    recording = SensoriumRecording(world / "recording")  # 16×24 pixels of 4° at 30 Hz
    known = load_encoder(world / "encoder0.safetensors")
    settings = type(vars(known)["settings"])
    training = EncoderTraining(Path("a"), Path("b"), history=0.45, cell=7.6, architecture={"core": {"hidden": 8}})
    assert scaled(training, recording, settings)["core"] == {"lags": 14, "block": 2, "hidden": 8}
    recording.frame_rate, recording.degrees_per_pixel = 60.0, 0.5
    assert scaled(training, recording, settings)["core"] == {"lags": 27, "block": 2, "hidden": 8}
    judge = EncoderTraining(Path("a"), Path("b"), encoder="judge", history=0.45, architecture={"lags": 9})
    assert scaled(judge, recording, JudgeSettings) == {"lags": 9}
    assert scaled(EncoderTraining(Path("a"), Path("b")), recording, LinearSettings) == {}
    assert isinstance(known.spec, Spec) and torch.is_grad_enabled()


def test_a_warmup_longer_than_the_validation_trials_is_refused(world: Path, tmp_path: Path) -> None:
    tree = config.load(
        "train/own_encoder", [f"recording={world / 'recording'}", f"output={tmp_path / 'w.safetensors'}"]
    )
    tree["training"]["warmup_frames"] = 89
    with pytest.raises(InputError, match=r"training\.warmup_frames: expected at most 88, .* got 89; lower it"):
        train_encoder(tree)
