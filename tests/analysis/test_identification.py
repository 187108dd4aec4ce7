"""`recon identify`: which stimulus, which response, on the tiny benchmark."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worlds.bench import configuration

from recon import cli, config
from recon.analysis.identification.stimuli import Identify, Views, decoding_views, encoding_views, identify
from recon.commands.identify import FORMATS, SHOWN
from recon.commands.tables import table
from recon.correlation import pearson
from recon.metrics.identification import top
from recon.problem.conditions import clip_rates
from recon.study.outputs import movie_file
from recon.study.settings import Settings
from recon.study.shared import Bench, plan

SMALL = {"space": 8, "hidden": 8, "channels": 4, "cells": 8}
ALIGNMENT = {"name": "alignment", "towers": SMALL, "learning": {"steps": 5}, "batch": 4, "frames": [16], "window": 8}


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> dict[str, Any]:
    rows = [
        {"label": "ridge", "method": {"name": "ridge"}},
        {"label": "ridge, wrong clip", "method": {"name": "ridge"}, "condition": "wrong_clip"},
        {"label": "vna", "method": {"name": "smoothed", "sigma": [1.0, 1.0, 1.0], "method": ALIGNMENT}},
    ]
    asked = {"lengths": [0.5, 2.0, 99.0], "sizes": [2, 5, 1000, 0]}
    return configuration(world) | {"run": str(tmp_path / "run"), "rows": rows, "identify": asked}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_approach_is_scored_both_ways(tree: dict[str, Any]) -> None:
    results = identify(tree)
    rows = rows_of(results)
    approaches = list(dict.fromkeys(row["approach"] for row in rows))
    assert approaches == ["decoding: ridge", "decoding: ridge, wrong clip", "decoding: vna", "alignment: vna",
                          "encoding: first"]  # fmt: skip
    sizes = {(row["seconds"], row["candidates"]) for row in rows}
    assert sizes == {("0.5", "2"), ("0.5", "5"), ("0.5", "12"), ("2.0", "2"), ("2.0", "3")}
    assert len(rows) == len(approaches) * 2 * len(sizes)
    for row in rows:
        assert 0 <= float(row["top1"]) <= float(row["top5"]) <= 1
        assert 1 <= float(row["median_rank"]) <= int(row["candidates"])
        assert float(row["chance_top1"]) == pytest.approx(1 / int(row["candidates"]))
    assert len(table(rows, SHOWN, FORMATS)) == 1 + len(rows)


def test_the_true_movie_is_identified_by_itself(tree: dict[str, Any], tmp_path: Path) -> None:
    tree.pop("identify")
    settings = config.record(Settings, config.expand(tree), where="benchmark")
    (batch,) = Bench(settings, plan(settings)).batches
    (tmp_path / "movie.h5").write_bytes(movie_file(batch, batch.movie))
    similarity = decoding_views(tmp_path, batch).similarity([(20, 50), (50, 80)])
    assert torch.allclose(similarity.diagonal(), torch.ones(6), atol=1e-3)
    assert top(similarity, size=6).tolist() == [1.0] * 6


def test_an_encoder_identifies_its_own_rates(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tree.pop("identify")
    settings = config.record(Settings, config.expand(tree), where="benchmark")
    bench = Bench(settings, plan(settings))
    (batch,) = bench.batches
    encoder = bench.encoders["first"]
    for other in (batch, *bench.validation):
        behavior = other.recorded[1]
        rates = clip_rates(encoder, other.movie, behavior.mean((0, 2), keepdim=True).expand_as(behavior))
        monkeypatch.setitem(vars(other), "trials", tuple(
            replace(trial, responses=own) for trial, own in zip(other.trials, rates, strict=True)
        ))  # fmt: skip
    similarity = encoding_views(encoder, bench, batch).similarity([(20, 80)])
    assert torch.allclose(similarity.diagonal(), torch.ones(3), atol=1e-3)
    assert top(similarity, size=3).tolist() == [1.0] * 3


def test_segments_are_cut_from_the_right_places() -> None:
    stimuli, responses = torch.rand(2, 12, 3), torch.rand(2, 12, 3)
    similarity = Views(stimuli, responses, centred=True).similarity([(2, 6), (6, 10)])
    expected = pearson(stimuli[1, 2:6].flatten(), responses[0, 6:10].flatten())
    assert float(similarity[2, 1]) == pytest.approx(float(expected), abs=1e-5)
    strided = Views(stimuli, responses, step=2).similarity([(4, 8)])
    cosine = torch.nn.functional.cosine_similarity(stimuli[0, 2:4].flatten(), responses[1, 2:4].flatten(), dim=0)
    assert float(strided[0, 1]) == pytest.approx(float(cosine), abs=1e-5)


def test_the_command_prints_the_table(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(world / "bench.yaml"), f"run={tmp_path / 'run'}", "clips.count=2", "rows=[]"]
    assert cli.main(["identify", *arguments]) == 2
    assert "expected different labels, got no rows" in capsys.readouterr().err
    chosen = ["rows=[{label: ridge, method: {name: ridge}}]", "identify.lengths=[1.0]", "identify.sizes=[2]"]
    assert cli.main(["identify", *arguments[:-1], *chosen]) == 0
    shown = capsys.readouterr().out
    assert "encoding: first" in shown and "decoding: ridge" in shown and "identification.csv" in shown


def test_lengths_and_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="lengths above 0"):
        Identify(lengths=(0.0,))
    with pytest.raises(ValueError, match="sizes of 0"):
        Identify(sizes=(1,))
    assert np.isfinite(Identify().lengths).all()
