"""Presets are documented: name, family, one sentence, what they see, what they cost, and their settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon import cli, config
from recon.study.presets import FAMILIES, Preset, preset, presets


@pytest.mark.parametrize("name", presets())
def test_every_preset_says_what_it_is(name: str) -> None:
    known = preset(name)
    assert known.about.endswith(".") and len(known.about) > 30 and "\n" not in known.about
    assert set(known.family.split(" and ")) <= set(FAMILIES.values())
    assert known.passes.encoder >= 1 and "per clip" in known.cost and "of the clip" in known.seen
    assert known.settings or name == "mean"


def test_the_list_shows_presets_with_family_sentence_sight_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for known in presets().values():
        assert f"{known.name} {known.about} {known.family}; {known.cost}; sees {known.seen}" in shown


def test_the_list_of_one_preset_shows_its_settings_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "refined"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["method.levels", "8", "[10]"] in lines and ["method.start.beta", "0.12", "[1.0]"] in lines
    assert ["method", "diffpir"] in lines and not [line for line in lines if "artefact" in line[0]]


def test_the_list_explains_other_entries_and_suggests_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "diffpir"]) == 0
    assert "diffpir (method): For σ falling over" in capsys.readouterr().out
    assert cli.main(["list", "mapspectrum"]) == 2
    assert "did you mean 'map_spectrum'" in capsys.readouterr().err


def test_a_setting_that_is_listed_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("method: {preset: map_spectrum}\n")
    tree = config.load(tmp_path / "c.yaml", ["method.iterations=7"])
    changed = Preset("mine", "", tree["method"], config.build("method", tree["method"]))
    (found,) = [one for one in changed.settings if one.name == "iterations"]
    assert (found.value, found.default, found.changed) == ("7", "20", True)


def test_a_presets_sentence_is_no_setting_and_no_setting_of_a_benchmark(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "mine.yaml").write_text("about: My own ridge.\npreset: ridge\nfolds: 4\n")
    (tmp_path / "c.yaml").write_text("about: a benchmark\nmethod: {preset: mine}\n")
    tree = config.load(tmp_path / "c.yaml")
    assert tree == {"about": "a benchmark", "method": {"name": "ridge", "folds": 4}}
