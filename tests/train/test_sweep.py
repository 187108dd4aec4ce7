"""Trainings that differ in one setting, beside each other: the same weights as one by one, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from worlds.bench import make_world

from recon import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording and train.yaml, whose output names the value."""
    monkeypatch.chdir(tmp_path)
    make_world(tmp_path)
    settings = f"recording: {tmp_path / 'recording'}\noutput: {tmp_path}/mine-{{each}}.safetensors\n"
    sizes = "architecture: {core: {lags: 3, temporal: 2, kernel: 2, features: 4, mixing: 1, hidden: 4}}\n"
    (tmp_path / "train.yaml").write_text(settings + sizes + "training: {steps: 2}\n")
    return tmp_path


@pytest.mark.slow  # processes with torch, beside each other
def test_each_value_is_trained_with_beside_each_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    train = ["train", "encoder", str(folder / "train.yaml")]
    assert cli.main([*train, "--each", "training.seed=3,4", "--on", "local:2"]) == 0
    shown = capsys.readouterr().out
    for seed in "34":
        assert f"training.seed={seed}: {folder}/mine-{seed}.safetensors" in shown
        alone = [f"training.seed={seed}", f"output={folder}/alone.safetensors"]
        assert cli.main([*train, *alone]) == 0
        alone_weights, beside = (load_file(folder / f"{name}.safetensors") for name in ("alone", f"mine-{seed}"))
        assert all(torch.equal(value, beside[name]) for name, value in alone_weights.items())
    three, four = (load_file(folder / f"mine-{seed}.safetensors") for seed in "34")
    assert any(not torch.equal(value, four[name]) for name, value in three.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--each", "training.seed"], "--each: expected KEY=VALUE,VALUE, got training.seed"),
        (["--each", "training.seed=0,1", "output=x.safetensors"], "output: expected a file for each training.seed"),
        (["--each", "recording=absent,gone"], "expected the folder of a recording"),
    ],
)
def test_what_cannot_be_trained_is_said(
    changes: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "encoder", str(folder / "train.yaml"), *changes]) == 2
    shown = capsys.readouterr()
    assert message in shown.out + shown.err  # a training that fails is a line, here as beside each other
