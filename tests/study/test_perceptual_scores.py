"""Perceptual scores of a run: asked for by name, refused without weights, NaN with a reason for small frames."""

from __future__ import annotations

import csv
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from worlds.alexnet import weights
from worlds.bench import configuration, make_world

from recon.errors import InputError
from recon.metrics.networks import FOLDER_VARIABLE
from recon.report.page import write_report
from recon.study.benchmark import benchmark

NAME = "alexnet5_identification"
ASKED = {"perceptual": {"scores": [NAME], "every": 70}}


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    make_world(tmp_path)
    return configuration(tmp_path) | {"rows": [{"label": "mean", "method": {"name": "mean"}}]}


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(weights(), folder / "alexnet.pth")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder / "alexnet.pth"


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.usefixtures("backbone")
def test_small_frames_have_a_reason_and_end_no_run(tree: dict[str, Any]) -> None:
    for row in rows_of(benchmark(tree)):
        assert row["status"] == "finished" and row["lpips"] == "" and NAME not in row
        assert "lpips undefined for frames of 16 × 24 pixels, fewer than 31 × 31" in row["message"]


def test_scores_are_of_the_whole_table_and_of_these_weights(tree: dict[str, Any], backbone: Path) -> None:
    run = benchmark(tree | ASKED)
    together = rows_of(run)
    page = write_report(run).read_text(encoding="utf-8")
    assert "AlexNet(5) 2-way" in page
    values = [float(row[NAME]) for row in together]
    # The mean movie is the same for all clips: it wins one side of every pair.
    assert len(values) == 3 and sum(values) / 3 == pytest.approx(0.5)
    alone = rows_of(benchmark(tree | ASKED | {"batch": 1, "run": f"{tree['run']}-alone"}))
    assert [row[NAME] for row in alone] == [row[NAME] for row in together]
    said: list[str] = []
    benchmark(tree | ASKED, say=said.append)
    assert "done already" in said[0]
    torch.save({name: values + 0.01 for name, values in weights().items()}, backbone)
    said.clear()
    benchmark(tree | ASKED, say=said.append)
    assert "done already" not in said[0], "other weights are another result"


@pytest.mark.usefixtures("backbone")
def test_a_single_clip_has_nothing_to_be_told_from(tree: dict[str, Any]) -> None:
    (row,) = rows_of(benchmark(tree | ASKED | {"clips": {"count": 1}}))
    assert row[NAME] == "" and f"{NAME} undefined without a clip of another video" in row["message"]


def test_a_run_without_the_weights_is_refused_before_it_starts(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is off in this test")

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(InputError, match=f"weights of AlexNet, which could not be downloaded.*{FOLDER_VARIABLE}"):
        benchmark(tree | ASKED)
    assert not Path(tree["run"]).exists()
    with pytest.raises(InputError, match=r"perceptual: scores: expected names out of lpips, .*got \['alexnet'\]"):
        benchmark(tree | {"perceptual": {"scores": ["alexnet"]}})
