"""Identification of known segments from other repeats: a world with an answer, the recorded session, bad input."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from recon import cli, config
from recon.identification.neural import reliability, standardised

ROOT = Path(__file__).parents[1]


def write_session(path: Path, *, noise: float) -> None:
    """Twenty tuned units of an area and fifteen that know nothing, ten repeats of eight segments."""
    rng = np.random.default_rng(0)
    tuned = 5 + 3 * rng.random((20, 1, 8)) + noise * rng.normal(size=(20, 10, 8))
    silent = 5 + rng.normal(size=(15, 10, 8))
    areas = np.array(["V1"] * 20 + ["CA1"] * 15)
    np.savez(path, act=np.concatenate([tuned, silent]), areas=areas)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    write_session(tmp_path / "session.npz", noise=0.6)
    tree = {
        "run": str(tmp_path / "run"),
        "responses": f"{tmp_path / 'session.npz'}:act",
        "areas": f"{tmp_path / 'session.npz'}:areas",
        "groups": {"cortex": ["V1"], "control": ["CA1"]},
        "learning": {"steps": 60},
    }
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "session.yaml")
    return tmp_path / "session.yaml"


def rows_of(path: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with path.open(newline="") as stream:
        return {(row["group"], row["approach"], row["candidates"]): row for row in csv.DictReader(stream)}


def test_tuned_units_identify_and_others_do_not(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["identify", str(session)]) == 0
    assert "segments seen in training" in capsys.readouterr().out
    rows = rows_of(session.parent / "run" / "identification.csv")
    for approach in ("templates", "contrastive"):
        assert float(rows["cortex", approach, "8"]["top1"]) > 0.9
        control = rows["control", approach, "8"]
        assert float(control["top1"]) < 0.35
    assert {key[2] for key in rows} == {"2", "8"}
    assert rows["cortex", "contrastive", "8"]["note"].endswith("mean of 3 seeds")


def test_seeds_are_averaged_before_repeats_are_drawn(session: Path) -> None:
    tops = []
    for seeds in ("[0]", "[1]", "[0,1]"):
        assert cli.main(["identify", str(session), "learning.steps=3", f"seeds={seeds}"]) == 0
        row = rows_of(session.parent / "run" / "identification.csv")["control", "contrastive", "8"]
        tops.append([float(row[name]) for name in ("top1", "top1_low", "top1_high")])
    assert tops[0] != tops[1]
    assert tops[2][0] == pytest.approx((tops[0][0] + tops[1][0]) / 2)
    assert tops[2][2] - tops[2][1] < max(high - low for _, low, high in tops[:2]) + 1e-9


def test_test_repeats_do_not_reach_what_is_learnt() -> None:
    known, asked = torch.rand(4, 6, 5) + 1, torch.rand(4, 2, 5) + 1
    first, _ = standardised(known, asked)
    again, _ = standardised(known, asked + 100)
    assert torch.equal(first, again)
    assert torch.allclose(first.mean((1, 2)), torch.zeros(4), atol=1e-5)


def test_reliability_is_signal_over_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(2, 1, 4000, generator=generator) * torch.tensor([2.0, 0.0])[:, None, None]
    weights = reliability(signal + torch.randn(2, 10, 4000, generator=generator))
    assert float(weights[0]) == pytest.approx(2.0, rel=0.05)
    assert float(weights[1]) < 0.1


@pytest.mark.parametrize(
    "override, message",
    [
        ("groups.cortex=[V9]", "expected areas out of"),
        ("responses=SESSION:nothing", r"expected FILE:NAME with one of \['act', 'areas'\], got nothing"),
        ("responses=absent.npz:act", "expected an array file, got none"),
        ("folds=11", "expected 2 to 10"),
        ("seeds=[]", "seeds: expected at least one, got none"),
        ("responses=SESSION:areas", "units, repeats, segments"),
    ],
)
def test_bad_input_is_explained(override: str, message: str, session: Path, capsys) -> None:
    override = override.replace("SESSION", str(session.with_suffix(".npz")))
    assert cli.main(["identify", str(session), override]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error


@pytest.mark.real
def test_recorded_v1_identifies_segments_and_hippocampus_does_not(real_data: Path, tmp_path: Path) -> None:
    from recon.identification.neural import identify_segments

    file = real_data / "allen_npx_natural_movie" / "prep_data_791319847.mat"
    arrays = [f"responses={file}:act", f"areas={file}:unit_regs"]
    tree = config.load(ROOT / "configs/identify_v1.yaml", [f"run={tmp_path}", *arrays])
    rows = rows_of(identify_segments(tree))
    for approach in ("templates", "contrastive"):
        assert float(rows["V1", approach, "30"]["top1"]) >= 0.85
        assert float(rows["visual cortex", approach, "30"]["top1"]) >= 0.95
    control = rows["hippocampus (control)", "templates", "30"]
    assert float(control["top1_low"]) < 1 / 30 < float(control["top1_high"])
