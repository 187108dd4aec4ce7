"""Captions told apart by responses: from the configuration to the table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from worlds import bench as tiny_bench

from recon import cli, config
from recon.analysis.identification import captions
from recon.analysis.identification.captions import CaptionIdentification
from recon.methods.artefacts import load_artefact
from recon.methods.text import generated_clips as drawn

GENERATED = {"reader": "ridge", "windows": {"frames": 20, "every": 10}, "generated": 2, "noise": {"name": "poisson"}}


@pytest.fixture
def asked(world: Path, tmp_path: Path) -> dict:
    tiny = tiny_bench.configuration(world)
    return {
        "run": str(tmp_path / "run"),
        "recording": tiny["recording"],
        "artefacts": str(tmp_path / "artefacts"),
        "encoders": {"first": tiny["encoders"]["first"]},
        "clips": {"count": 2},
        "captions": {"ridge": {"reader": "ridge", "windows": {"frames": 20, "every": 10}}},
        "sizes": [2, 0],
        "least": 5,
        "device": "cpu",
    }


def test_a_configuration_becomes_a_table(asked: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    OmegaConf.save(OmegaConf.create(asked), tmp_path / "captions.yaml")
    assert cli.main(["identify", str(tmp_path / "captions.yaml")]) == 0
    assert "captions: ridge" in capsys.readouterr().out
    with (tmp_path / "run/identification.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["approach"] for row in rows} == {"captions: ridge"} and {row["clips"] for row in rows} <= {"1", "2"}
    assert float(rows[0]["chance_top1"]) == 0.5
    assert all(0 <= float(row["top1"]) <= float(row["top5"]) <= 1 for row in rows)


def test_scenes_that_are_too_short_are_no_question(asked: dict) -> None:
    with pytest.raises(ValueError, match="captions: expected at least 2 scenes with captions of 9999 frames"):
        captions.identify_captions(asked | {"least": 9999})


@pytest.mark.slow
def test_generated_movies_join_what_is_learnt_from(asked: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "PART", 2)
    results = captions.identify_captions(asked | {"captions": {"more": GENERATED}})
    assert "captions: more" in results.read_text()
    (kept,) = Path(asked["artefacts"]).glob("movies-*.safetensors")
    movies = load_artefact(kept, method="movies")["movies"]
    assert movies.shape == (2, drawn.FRAMES, 16, 24)
    wrong = GENERATED | {"noise": {"name": "low_rank"}}
    with pytest.raises(ValueError, match="generated: expected a recording at 30 frames a second and noise"):
        captions.identify_captions(asked | {"captions": {"wrong": wrong}})


def test_the_shipped_configuration_is_valid() -> None:
    tree = config.load(config.CONFIGS / "identify_captions.yaml")
    assert len(config.record(CaptionIdentification, tree, where="identify").captions) == 4
