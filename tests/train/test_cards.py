"""Cards name their weights by the output, the command that ran and the recording; logs follow the output."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recon import cli
from recon.data.open import open_recording
from recon.encoders.checkpoints import SHIPPED as ENCODERS
from recon.encoders.checkpoints import read_card
from recon.methods.neural.weights_file import SHIPPED as DECODERS
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.train.card import log_folder

ROOT = Path(__file__).parents[2]
PRIORS = ROOT / "priors/weights"
CARDS = sorted(file for folder in (ENCODERS, DECODERS, PRIORS) for file in folder.glob("*.json"))
SIZES = "architecture: {core: {lags: 3, temporal: 2, kernel: 2, features: 4, mixing: 1, hidden: 4}}\n"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("world") / "recording", TINY, progress=False)


@pytest.fixture
def folder(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a configuration named unlike its output."""
    monkeypatch.chdir(tmp_path)
    settings = f"recording: {recording}\noutput: weights/v1_seed0.safetensors\n" + SIZES + "training: {steps: 2}\n"
    (tmp_path / "v1 shipped.yaml").write_text(settings)
    return tmp_path


def card(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    assert read_card(Path(path).with_suffix(".safetensors")).items() <= found.items()
    return found


def logs(folder: Path) -> list[str]:
    events = (folder / "runs/train").rglob("events.out.tfevents.*")
    return sorted({str(file.parent.relative_to(folder)) for file in events})


def test_two_trainings_of_one_configuration_have_their_own_names_commands_and_logs(
    folder: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "encoder", "v1 shipped.yaml"]
    for name, seed in (("mine", 1), ("other", 2)):
        overrides = [f"output=weights/{name}.safetensors", f"training.seed={seed}"]
        assert cli.main([*train, *overrides]) == 0
        assert f"tensorboard --logdir runs/train/weights/{name}\n" in capsys.readouterr().out
        found = card(f"weights/{name}.json")
        assert found["name"] == name
        assert found["command"] == f"recon train encoder 'v1 shipped.yaml' {' '.join(overrides)}"
        assert found["data"]["recording"] == "recording"
        assert found["data"]["fingerprint"] == open_recording(recording).fingerprint()
    assert logs(folder) == ["runs/train/weights/mine", "runs/train/weights/other"]


def test_a_sweep_tells_its_command_and_each_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["output=weights/mine-{each}.safetensors", "--each", "training.seed=3,4", "--on", "here"]
    assert cli.main(["train", "encoder", "v1 shipped.yaml", *sweep]) == 0
    assert "tensorboard --logdir runs/train/weights\n" in capsys.readouterr().out
    for seed in (3, 4):
        found = card(f"weights/mine-{seed}.json")
        assert found["name"] == f"mine-{seed}" and found["each"] == f"training.seed={seed}"
        line = "'output=weights/mine-{each}.safetensors' --each training.seed=3,4 --on here"
        assert found["command"] == f"recon train encoder 'v1 shipped.yaml' {line}"
    assert logs(folder) == [f"runs/train/weights/mine-{seed}" for seed in (3, 4)]


def test_outputs_of_one_name_in_other_folders_have_other_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = ["a/mine.safetensors", "b/mine.safetensors", "/elsewhere/mine.safetensors", str(tmp_path / "c.d.e")]
    found = [str(log_folder({"output": output})) for output in outputs]
    expected = ["a/mine", "b/mine", "elsewhere/mine", "c.d"]
    assert found == [f"runs/train/{place}" for place in expected]


def test_a_name_in_the_configuration_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "encoder", "v1 shipped.yaml", "name=v1_seed0"]) == 2
    assert "got key 'name'" in capsys.readouterr().err


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.stem)
def test_shipped_cards_name_configurations_that_exist_and_write_these_weights(file: Path) -> None:
    found = json.loads(file.read_text())
    named = re.findall(r"configs/train/\w+\.yaml", found["command"])
    tree = yaml.safe_load((ROOT / named[-1]).read_text())
    assert found["name"] == file.stem and (ROOT / tree["output"]).resolve().with_suffix(".json") == file.resolve()
    assert found["data"]
