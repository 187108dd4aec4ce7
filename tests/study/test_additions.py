"""What is added by one file and one registry line appears everywhere, without another edit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from worlds.ablation import write_prior
from worlds.bench import configuration
from worlds.toy_method import ToyMethod

from recon import cli, config
from recon.methods import METHODS
from recon.report.page import write_report
from recon.report.tables import markdown
from recon.study.ablation.rows import Ablation
from recon.study.benchmark import benchmark
from recon.study.tune import tune


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyMethod)


def test_a_method_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    assert "  toy " in (said := capsys.readouterr().out) and "The denoised mean training frame after one step" in said


def test_a_method_is_in_the_table_and_on_the_page(tree: dict[str, Any]) -> None:
    rows = [{"label": "mine", "method": {"name": "smoothed", "method": {"name": "toy"}}, "encoders": ["first"]}]
    run = benchmark(tree | {"rows": rows, "clips": {"count": 2}})
    with (run / "results.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert {(row["method"], row["behavior"], row["oracle"]) for row in found} == {("mine", "True", "False")}
    assert "| mine |" in markdown(run / "results.csv")
    said = "Gaussian smoothing · toy step: responses and behavior of the clip through the encoder; learnt: the spectrum"
    assert f"<dt>mine</dt><dd>{said}" in write_report(run).read_text()


@pytest.mark.parametrize("name", ["toy", "worlds.toy_method:ToyMethod"])
def test_a_method_is_ablated_and_its_strength_swept(name: str, tmp_path: Path) -> None:
    denoiser = {"name": "diffusion", "weights": write_prior(tmp_path / "prior.safetensors")}
    chosen = {"method": {"name": name, "denoiser": denoiser}, "typed": "a disc", "no_prior": {"name": "mean"}}
    made = config.record(Ablation, chosen | {"sweep": {"beta": []}}, where="ablation")
    rows = {row["label"]: row["method"] for row in made.rows()}
    assert rows["prior only, no text"] == {"name": name, "denoiser": denoiser, "beta": 0.0}
    assert [rows[label]["beta"] for label in ("beta 0.001", "beta 0.01")] == [0.001, 0.01]


def test_a_method_is_tuned(world: Path, tmp_path: Path) -> None:
    search = {"study": str(tmp_path / "study.json"), "space": {"method.beta": [0.0, 0.01]}}
    search |= {"iterations": [], "sigma": [[0, 0, 0]], "objective": {"video_correlation": 1}}
    tree = configuration(world) | {"rows": [{"label": "toy", "method": {"name": "toy"}}], "search": search}
    study = json.loads(tune(tree | {"clips": {"tier": "oracle", "count": 2}, "run": str(tmp_path / "run")}).read_text())
    assert study["best"]["settings"]["method.beta"] in (0.0, 0.01)
