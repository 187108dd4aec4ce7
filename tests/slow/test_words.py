"""`recon ablate` with a section `words`, from configuration to page, on a tiny world with a prior of random weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from worlds.ablation import section, write_prior
from worlds.bench import configuration, make_world
from worlds.finished_run import embedded

from recon import cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = make_world(tmp_path_factory.mktemp("words")).parent
    tree: dict[str, Any] = configuration(world) | {"rows": [], "run": str(world / "words")}
    tree |= {"neurons": {"selection": 0.0, "report": 0.0}}
    method = section(write_prior(world / "prior.safetensors"))["method"]
    tree["words"] = {"method": method, "neurons": [4, 12, 24], "coverage": 0.3}
    OmegaConf.save(OmegaConf.create(tree), world / "words.yaml")
    return world / "words.yaml"


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    assert cli.main(["ablate", str(config)]) == 0
    return config.parent / "words"


def test_every_text_is_told_to_every_population_on_the_same_clips(run: Path) -> None:
    with (run / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["status"] for row in rows} == {"finished"} and len(rows) == 4 * 5 * 3
    neurons = {row["method"].partition(",")[0]: int(row["neurons"]) for row in rows}
    assert [neurons[f"{count} neurons"] for count in (4, 12, 24)] == [4, 12, 24]
    assert 0 < neurons["30 % of the screen"] < 24
    told = {row["method"].partition(", ")[2]: (row["text"], row["oracle"]) for row in rows}
    assert told["no text"] == ("", "False") and told["decoded text"][1] == "False"
    assert told["true text with place"][1] == told["true text without place"][1] == "True"
    assert "shuffled" in told["wrong text"][0] and told["wrong text"][1] == "False"
    assert all(row["judge_correlation"] for row in rows)


def test_the_texts_change_the_movie_and_the_findings_are_written(run: Path) -> None:
    written = json.loads((run / "words.json").read_text())
    (video, *_) = written["findings"]
    told = [row for row in video["rows"] if row["text"] in ("true without place", "true with place", "wrong")]
    assert len({row["mean"] for row in told if row["neurons"] == 4}) == 3
    assert all(row["difference"] is not None for row in told)
    assert embedded(run / "report.html")["words"]["scores"][0]["title"] == "Video r"


def test_it_goes_on_where_it_stopped(run: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "words.json").read_text()
    assert cli.main(["ablate", str(config)]) == 0
    said = capsys.readouterr().out
    assert said.count("done already") == 20 and (run / "words.json").read_text() == before
    assert "by video_correlation:" in said and " sentence " in said and f"page: {run / 'report.html'}" in said


def test_the_dry_run_counts_its_rows(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", str(config), "--dry-run"]) == 0
    assert "0 to do, 20 done already" in capsys.readouterr().out


def test_a_typed_sentence_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", str(config), "--typed", "a disc"]) == 2
    assert "--typed: expected a configuration with `ablation`, got one with `words`" in capsys.readouterr().err
