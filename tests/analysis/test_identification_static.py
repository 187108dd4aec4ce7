"""Identification of static images: planted worlds, missing conditions, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from recon import cli, config
from recon.analysis.identification.static import (
    StaticIdentification,
    StaticResponses,
    encoding_similarity,
    identify_static,
    linear_encoding,
    read_shown,
)

TOWERS = {"space": 16, "hidden": 32, "channels": 4, "stride": 1, "lags": {"first": 0, "last": 0, "bases": 1}}


def planted(folder: Path, *, missing: float = 0.0, shuffled: bool = False) -> dict[str, Any]:
    """Write 240 smooth images and Poisson responses of 60 linear–exponential neurons to them."""
    generator = np.random.default_rng(0)
    images = generator.normal(size=(240, 3, 4)).repeat(3, 1).repeat(3, 2)
    fields = generator.normal(size=(60, 9, 12))
    drive = np.einsum("nhw,shw->ns", fields, images)
    responses = generator.poisson(4 * np.exp(0.8 * drive / drive.std())).astype(float)
    if shuffled:
        responses = generator.permuted(responses, axis=1)
    responses[generator.random(responses.shape) < missing] = np.nan
    np.save(folder / "images.npy", 127 + 40 * images)
    np.save(folder / "responses.npy", responses)
    return {
        "run": str(folder / "run"),
        "images": str(folder / "images.npy"),
        "responses": str(folder / "responses.npy"),
        "towers": TOWERS,
        "learning": {"steps": 150, "learning_rate": 3e-3, "validate_every": 25},
        "batch": 64,
        "sizes": [2, 10, 0],
    }


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_planted_images_are_told_apart_by_all_approaches(tmp_path: Path, missing: float) -> None:
    rows = table(identify_static(planted(tmp_path, missing=missing)))
    assert len(rows) == 3 * 2 * 2 * 3  # approaches, held out or learnt from, tasks, sizes
    for row in rows:
        if row["candidates"] == "10":
            assert float(row["top1"]) > 0.5, row
            assert float(row["top1_low"]) > float(row["chance_top1"])


def test_shuffled_responses_identify_nothing_that_was_held_out(tmp_path: Path) -> None:
    rows = table(identify_static(planted(tmp_path, shuffled=True)))
    for row in rows:
        if row["images"] == "held out" and row["candidates"] == "48":
            assert float(row["top1"]) < 0.15, row


@pytest.mark.slow
def test_the_gap_is_asked_for_each_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    OmegaConf.save(OmegaConf.create(planted(tmp_path) | {"shares": [0.25, 1.0]}), tmp_path / "static.yaml")
    assert cli.main(["identify", str(tmp_path / "static.yaml")]) == 0
    rows = table(tmp_path / "run/identification.csv")
    assert {row["trained_on"] for row in rows} == {"48", "192"}
    assert "learnt from" in capsys.readouterr().out


def test_neurons_that_were_not_shown_an_image_say_nothing_about_it() -> None:
    generator = torch.Generator().manual_seed(0)
    shown = StaticResponses(torch.rand(30, 4, 5, generator=generator), torch.rand(12, 30, generator=generator))
    encoding = linear_encoding(shown)
    encoding["reliability"] = torch.ones(12)
    fewer = shown.responses.clone()
    fewer[4:] = float("nan")
    missing = encoding_similarity(encoding, StaticResponses(shown.images, fewer))
    alone = {name: value[..., :4] if value.shape[-1] == 12 else value for name, value in encoding.items()}
    expected = encoding_similarity(alone, StaticResponses(shown.images, shown.responses[:4]))
    torch.testing.assert_close(missing, expected)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"images": ""}, "expected a recording, or images and responses, got both or neither"),
        ({"shares": [0.0]}, "expected greater than 0"),
        ({"responses": "images"}, "expected finite images"),
    ],
)
def test_what_cannot_be_identified_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    tree = planted(tmp_path)
    if changed.get("responses") == "images":
        changed = {"responses": tree["images"]}
    with pytest.raises(ValueError, match=said):
        identify_static(tree | changed)


def test_a_neuron_that_saw_nothing_is_left_out_and_named(tmp_path: Path) -> None:
    tree, said = planted(tmp_path), list[str]()
    responses = np.load(tree["responses"])
    responses[3], responses[:, 7] = np.nan, np.nan
    np.save(tree["responses"], responses)
    known, held_out = read_shown(config.record(StaticIdentification, tree, where="identify"), say=said.append)
    assert said == [
        "neurons with fewer than two responses, left out: 1 (3; from 0)",
        "images without responses, left out: 1 (7; from 0)",
    ]
    assert {len(known.responses), len(held_out.responses)} == {len(responses) - 1}
    assert len(known.images) + len(held_out.images) == responses.shape[1] - 1
    np.save(tree["responses"], np.full_like(responses, np.nan))
    with pytest.raises(ValueError, match="got only NaN"):
        identify_static(tree)
