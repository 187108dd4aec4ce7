"""Configuration trees of someone else: no environment in them, no circle of presets, no study that is none."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from recon import cli, config
from recon.config.tree import overridden
from recon.errors import InputError

SPELLINGS = (
    "${oc.env:SECRET}",
    "${ oc.env : SECRET }",
    "${${rows[0].label}:SECRET}",
    "${oc.${part}:SECRET}",
    "${oc.env:${name}}",
    "${oc.decode:'${oc.env:SECRET}'}",
    "${a[${oc.env:SECRET}]}",
    "${a.${oc.env:SECRET}}",
    "${${oc.env:SECRET}}",
    "${oc.env:\tSECRET}",
    "é${\u00a0oc.env:SECRET}",
    "é ${oc.env:SECRET}",
    "\u2028${oc.env:\u2009SECRET}",
    "before ${rows[0].label} ${oc.env:SECRET, 'x'} after",
    r"\${oc.env:SECRET}",
    r"\\${oc.env:SECRET}",
    r"\\\${oc.env:SECRET}",
)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")


def tree_with(value: Any) -> dict[str, Any]:
    return {"rows": [{"label": "oc.env"}], "part": "env", "name": "SECRET", "a": {"hunter2": 1}, "x": value}


def saved(folder: Path, tree: Any, name: str = "bench.yaml") -> Path:
    """Save a tree as JSON, which is YAML, so that its text is what the file says."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))
    return path


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    said = str(caught.value)
    assert "\n" not in said and "hunter2" not in said.replace(str(Path.cwd()), "")
    return said


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_resolver_is_resolved(spelling: str, tmp_path: Path) -> None:
    places = (
        spelling,
        [[{"y": spelling}]],
        {spelling: 1},
        {"y": [spelling, "${rows}"]},
    )
    for place in places:
        refusal(config.load, saved(tmp_path, tree_with(place)))
    refusal(overridden, tree_with(1), [f"x={json.dumps(spelling)}"])
    refusal(overridden, tree_with("${z}"), [f"z={json.dumps({'y': [spelling]})}"])
    refusal(overridden, tree_with(1), [f"{spelling}=1"])
    refusal(config.expand, tree_with(spelling))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_neither_a_preset_nor_a_study_reads_the_environment(spelling: str, tmp_path: Path) -> None:
    saved(tmp_path, {"name": "mean", "part": "env", "rows": [{"label": "oc.env"}], "x": spelling}, "methods/mine.yaml")
    refusal(config.load, saved(tmp_path, {"rows": [{"method": {"preset": "mine"}}]}))
    for where in ("method", "settings", "own"):
        study = copy.deepcopy(STUDY)
        study["config"]["rows"][0]["method"] |= {"x": spelling} if where == "method" else {}
        study["best"]["settings"] |= {"method.x": spelling} if where == "settings" else {}
        saved(tmp_path, study, "studies/mine.json")
        own = {"x": spelling} if where == "own" else {}
        refusal(config.load, saved(tmp_path, {"rows": [{"method": {"tuned": "mine", **own}}]}))
        refusal(config.expand, {"tuned": "mine", **own}, (tmp_path / "methods",))


def test_a_resolver_of_other_code_stays_registered_and_is_not_called(tmp_path: Path) -> None:
    called: list[str] = []
    with warnings.catch_warnings():  # the name of older versions, deprecated in newer ones
        warnings.simplefilter("ignore")
        OmegaConf.register_new_resolver("theirs", called.append)
    try:
        refusal(config.load, saved(tmp_path, {"a": "${theirs:x}", "b": "${a}"}))
        assert not called and OmegaConf.has_resolver("theirs") and OmegaConf.has_resolver("oc.env")
    finally:
        OmegaConf.clear_resolver("theirs")


def test_trees_are_resolved_in_one_place() -> None:
    """Beside the reading of configurations, only the writing of a run's own (`OmegaConf.to_yaml`) knows OmegaConf."""
    package = Path(config.__file__).parents[1]
    known = {"config/tree.py", "study/outputs.py"}
    files = {str(file.relative_to(package)): file.read_text("utf-8") for file in package.rglob("*.py")}
    assert {name for name, text in files.items() if "OmegaConf" in text} == known
    assert "resolve=" not in files["study/outputs.py"] and files["config/tree.py"].count("resolve=True") == 1


def test_values_of_the_file_itself_are_taken(tmp_path: Path) -> None:
    tree = {"clips": {"count": 4}, "rows": [{"label": "x"}], "key": "count", "price": "$5 {a} $a"}
    found = {
        "plain": "${clips.count}",
        "nested": "${clips.${key}}",
        "listed": "${rows[0].label}",
        "text": "é ${rows[0].label}-${clips.count}",
        "beside": "${.plain}",
        "whole": "${clips}",
    }
    loaded = config.load(saved(tmp_path, tree | found), ["clips.count=5", "more=${clips.count}"])
    expected = {"plain": 5, "nested": 5, "listed": "x", "text": "é x-5", "beside": 5, "whole": {"count": 5}, "more": 5}
    assert loaded == tree | {"clips": {"count": 5}} | expected


@pytest.mark.parametrize(
    "override", ["x=${", "x=[1", "x={a: b", "x=\x27a", "rows[5].x=1", "rows[x]=1", "x=${nowhere}", "x=${x}", "=1", "x"]
)
def test_an_override_that_cannot_be_read_is_one_line(override: str) -> None:
    assert ": expected " in refusal(overridden, {"rows": [{"x": 1}]}, [override])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\xfa", b"x: " + b"[" * 400 + b"]" * 400, b"[" * 5000, b"a: &a [*a]", b"a: ${b}\nb: ${a}\n"]
)
def test_a_file_that_cannot_be_read_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_bytes(content)
    assert "bench.yaml: expected " in refusal(config.load, tmp_path / "bench.yaml")


def test_presets_in_a_circle_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, {"preset": "own"}, "methods/own.yaml")
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        saved(tmp_path, {"name": "mean", "start": {"preset": other}}, f"methods/{one}.yaml")
    assert "got the circle own → own; " in refusal(config.load, saved(tmp_path, {"rows": [{"preset": "own"}]}))
    said = refusal(config.load, saved(tmp_path, {"rows": [{"preset": "a"}]}))
    assert said.startswith(f"{tmp_path / 'methods/c.yaml'}: expected presets that end, got the circle a → b → c → a; ")
    assert "circle a → b → c → a" in refusal(config.load, tmp_path / "methods/a.yaml")
    assert cli.main(["benchmark", str(tmp_path / "methods/own.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_preset_may_be_named_twice(tmp_path: Path) -> None:
    saved(tmp_path, {"name": "mean"}, "methods/leaf.yaml")
    saved(tmp_path, {"a": {"preset": "leaf"}, "b": [{"preset": "leaf"}]}, "methods/two.yaml")
    assert config.load(saved(tmp_path, {"preset": "two"})) == {"a": {"name": "mean"}, "b": [{"name": "mean"}]}


STUDY: dict[str, Any] = {
    "config": {"rows": [{"method": {"name": "gradient", "energies": {"tv": 1, "l2": 2}, "iterations": 9}}]},
    "iterations": [2, 4],
    "best": {"settings": {"method.energies.tv": 3}, "iterations": 4, "sigma": [0.0, 0.0, 0.0]},
}


def without(*keys: Any) -> dict[str, Any]:
    """The study without the value at the end of some keys."""
    study = copy.deepcopy(STUDY)
    place: Any = study
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    return study


def best(**changes: Any) -> dict[str, Any]:
    return STUDY | {"best": STUDY["best"] | changes}


@pytest.mark.parametrize(
    "study",
    [
        *(None, [], {}, 3, "text", [STUDY], {"best": {}}),
        *(without(key) for key in STUDY),
        *(without("best", key) for key in STUDY["best"]),
        *(without("config", "rows"), without("config", "rows", 0), without("config", "rows", 0, "method")),
        *(STUDY | {"best": None}, STUDY | {"config": {"rows": {}}}, STUDY | {"config": {"rows": [{"method": "map"}]}}),
        *(STUDY | {"iterations": 3}, best(settings=[]), best(settings={"a[": 1, "method": 3}), best(iterations="4")),
        *(best(iterations=None), best(sigma=None), best(sigma=["0"]), best(sigma=0.5)),
        best(settings={"method": None}),
    ],
)
def test_a_study_that_is_none_is_named(study: Any, tmp_path: Path) -> None:
    file = saved(tmp_path, study, "studies/mine.json")
    said = refusal(config.load, saved(tmp_path, {"rows": [{"method": {"tuned": "mine"}}]}))
    assert said.startswith(f"{file}: expected ") and "; " in said


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_study_that_is_no_json_is_named(content: bytes, tmp_path: Path) -> None:
    file = saved(tmp_path, STUDY, "studies/mine.json")
    file.write_bytes(content)
    assert str(file) in refusal(config.load, saved(tmp_path, {"rows": [{"method": {"tuned": "mine"}}]}))


def test_a_study_gives_its_best_method_and_siblings_are_merged_into_it(tmp_path: Path) -> None:
    saved(tmp_path, STUDY, "studies/mine.json")
    saved(tmp_path, best(sigma=[1, 0, 0]), "studies/wide.json")
    path = saved(tmp_path, {"a": {"tuned": "mine", "energies": {"l2": 5}, "rate": 1}, "b": {"tuned": "wide"}})
    tuned = {"name": "gradient", "energies": {"tv": 3, "l2": 2}, "iterations": 4}
    assert config.load(path) == {
        "a": tuned | {"energies": {"tv": 3, "l2": 5}, "rate": 1},
        "b": {"name": "smoothed", "sigma": [1.0, 0.0, 0.0], "method": tuned},
    }
