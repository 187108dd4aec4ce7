"""Identification of known segments from other repeats: a world with an answer, the recorded session, bad input."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from recon import cli, config
from recon.analysis.identification.circular_shift_null import against_chance, turned
from recon.analysis.identification.segments import (
    NeuralIdentification,
    near,
    reliability,
    similarities,
    standardised,
    with_repeats,
)
from recon.encoders.training.loop import Learning
from recon.files import digest

ROOT = Path(__file__).parents[2]


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
        "learning": {"steps": 40},
        "turned": {"control": 6},
    }
    OmegaConf.save(OmegaConf.create(tree), tmp_path / "session.yaml")
    return tmp_path / "session.yaml"


def rows_of(path: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with path.open(newline="") as stream:
        return {(row["group"], row["approach"], row["candidates"]): row for row in csv.DictReader(stream)}


@pytest.mark.slow  # many shifts
def test_tuned_units_identify_and_others_do_not(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["identify", str(session)]) == 0
    assert "segments seen in training" in capsys.readouterr().out
    rows = rows_of(session.parent / "run" / "identification.csv")
    for approach in ("templates", "contrastive"):
        assert float(rows["cortex", approach, "8"]["top1"]) > 0.9
        control = rows["control", approach, "8"]
        assert float(control["top1"]) < 0.35
        chance = [float(control[f"top1_by_chance_{name}"]) for name in ("low", "high", "p")]
        assert chance[0] < 0.16 and chance[1] > 0.09 and 1 / 7 <= chance[2] <= 1
        assert rows["cortex", approach, "8"]["top1_by_chance_p"] == ""
    assert {key[2] for key in rows} == {"2", "8"}
    assert rows["cortex", "contrastive", "8"]["note"].endswith("mean of 3 seeds")


@pytest.mark.slow
def test_turned_worlds_are_kept_as_they_come(session: Path) -> None:
    path = session.parent / "run" / "identification.csv"
    assert cli.main(["identify", str(session), "learning.steps=3"]) == 0
    table, (kept,) = path.read_bytes(), path.parent.glob("turned-*.json")
    worlds = json.loads(kept.read_text())["draws"]
    assert len(worlds) == 6
    worlds[0] |= dict.fromkeys(worlds[0], 2.0)
    kept.write_text(json.dumps({"draws": worlds[:3], "digest": digest(worlds[:3])}))
    assert cli.main(["identify", str(session), "learning.steps=3"]) == 0
    again = json.loads(kept.read_text())["draws"]
    assert again[1:] == worlds[1:] and again[0] == worlds[0] and path.read_bytes() != table
    assert cli.main(["identify", str(session), "learning.steps=4"]) == 0
    assert len(list(path.parent.glob("turned-*.json"))) == 2, "other settings are other worlds"


def test_turning_keeps_what_follows_what() -> None:
    responses = torch.arange(60.0).reshape(2, 3, 10)
    shown = turned(responses, seed=1)
    assert torch.equal(shown.sort(-1).values, responses) and not torch.equal(shown, responses)
    assert torch.equal(shown[1] - shown[0], responses[1] - responses[0]), "all units of a repeat are turned alike"
    assert all(step in (1, -9) for step in shown.diff(dim=-1).flatten().tolist())


def test_a_slow_trace_of_time_is_told_from_chance() -> None:
    """Units whose activity rises and falls alike in every repeat find the neighbourhood more often than the segment."""
    generator = torch.Generator().manual_seed(0)
    slow = torch.sin(torch.linspace(0, torch.pi, 30)) * torch.tensor([3.0, 2.0, 1.0])[:, None]
    chosen = NeuralIdentification(Path(), "", "", {}, learning=Learning(steps=1), seeds=(0,))
    for strength, low, high in ((1, 0, 0.06), (0, 0.06, 1)):
        responses = 20 + strength * slow[:, None] + 2 * torch.randn(3, 20, 30, generator=generator)
        worlds = [near(similarities(turned(responses, seed=seed), chosen)["templates"]) for seed in range(20)]
        assert low < against_chance(near(similarities(responses, chosen)["templates"]), worlds)["p"] < high


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


def gapped(responses: np.ndarray) -> np.ndarray:
    """Return the tuned units with a fifth of their repeats not shown; unit 3 has two repeats, unit 5 none."""
    missing = np.random.default_rng(1).random(responses.shape[:2]) < 0.2
    missing[3], missing[5] = np.arange(10) > 1, True
    return np.where(missing[..., None] & (np.arange(8) == 2), np.nan, responses)


def test_templates_are_made_of_each_units_complete_repeats(session: Path, capsys) -> None:
    """Gaps are told; templates, weights and similarities are those of the plain formulas, unit by unit."""
    file = session.parent / "session.npz"
    with np.load(file) as kept:
        responses, areas = gapped(kept["act"][:20]), kept["areas"][:20]
    np.savez(file, act=responses, areas=areas)
    arguments = ["groups={cortex: [V1]}", "turned={}", "learning.steps=2", "seeds=[0]"]
    assert cli.main(["identify", str(session), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "cortex: 18 units; " in shown and "complete repeats of 10 per unit" in shown
    assert "left out, for fewer than 2 in training: 2 units (3, 5; from 0)" in shown
    row = rows_of(session.parent / "run" / "identification.csv")["cortex", "templates", "8"]
    assert float(row["top1"]) > 0.85 and row["units"] == "18" and "(3, 5; from 0)" in row["note"]

    used = torch.from_numpy(np.delete(responses, (3, 5), 0)).float()
    chosen = NeuralIdentification(Path(), "", "", {}, learning=Learning(steps=1), seeds=(0,))
    found = similarities(used, chosen)["templates"][0]
    for repeat in range(10):
        held_out = torch.arange(10) % 5 == repeat % 5
        asked, known = [], []
        for unit in used:
            complete = torch.isfinite(unit).all(-1)
            if complete[repeat]:
                first, second = standardised(unit[None, complete & ~held_out], unit[None, repeat : repeat + 1])
                asked.append(second[0, 0] * reliability(first))
                known.append(first[0].mean(0) * reliability(first))
        one, other = (torch.stack(part).T for part in (asked, known))
        plain = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=-1)
        torch.testing.assert_close(found[repeat], plain, rtol=1e-4, atol=1e-5)


def test_a_repeat_that_no_unit_has_is_left_out() -> None:
    responses = np.random.default_rng(0).random((6, 10, 4))
    responses[:, 4, 1] = np.nan
    found, told = with_repeats(responses, np.arange(2, 6), 5, where="groups.all")
    assert found.shape == (4, 9, 4) and told == "; 9 complete repeats of 10 per unit"
    responses[:, 3:, 0] = np.nan
    with pytest.raises(ValueError, match=r"groups\.all: expected units with 2 or more complete repeats"):
        with_repeats(responses, np.arange(6), 5, where="groups.all")


@pytest.mark.parametrize(
    "override, message",
    [
        ("groups.cortex=[V9]", "expected areas out of"),
        ("responses=SESSION:nothing", r"expected FILE:NAME with one of \['act', 'areas'\], got nothing"),
        ("responses=absent.npz:act", "expected an array file, got none"),
        ("folds=11", "expected 2 to 10"),
        ("seeds=[]", "seeds: expected 1 to 1000 entries"),
        ("turned={V9: 3}", r"turned: expected groups out of \['cortex', 'control'\], got \['V9'\]"),
        ("responses=SESSION:areas", "units, repeats, segments"),
    ],
)
def test_bad_input_is_explained(override: str, message: str, session: Path, capsys) -> None:
    override = override.replace("SESSION", str(session.with_suffix(".npz")))
    assert cli.main(["identify", str(session), override]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error


@pytest.mark.slow  # published figures on recorded data
@pytest.mark.real
def test_recorded_v1_identifies_segments_and_hippocampus_does_not(real_data: Path, tmp_path: Path) -> None:
    from recon.analysis.identification.segments import identify_segments

    file = real_data / "allen_npx_natural_movie" / "prep_data_791319847.mat"
    arrays = [f"responses={file}:act", f"areas={file}:unit_regs"]
    tree = config.load(ROOT / "configs/identify_v1.yaml", [f"run={tmp_path}", "turned.hippocampus=0", *arrays])
    rows = rows_of(identify_segments(tree))
    for approach in ("templates", "contrastive"):
        assert float(rows["V1", approach, "30"]["top1"]) >= 0.85
        assert float(rows["visual cortex", approach, "30"]["top1"]) >= 0.95
    control = rows["hippocampus", "templates", "30"]
    assert float(control["top1_low"]) < 1 / 30 < float(control["top1_high"])
