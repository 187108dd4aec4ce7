"""Tuning: the search, its study, and what it refuses."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from worlds.bench import configuration

from recon import config
from recon.errors import InputError
from recon.methods.optimise.lbfgs import Lbfgs
from recon.study.tune import read_trials, summary, trials_file, tune


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> dict[str, Any]:
    search = {
        "study": str(tmp_path / "study.json"),
        "space": {"method.beta": [0.1, 1.0], "fidelity.name": ["poisson", "gaussian"]},
        "iterations": [1, 3],
        "sigma": [[0, 0, 0], [1, 1, 1]],
        "objective": {"video_correlation": 1},
    }
    rows = [{"label": "map", "method": {"preset": "map_spectrum", "iterations": 3}, "fidelity": {"name": "poisson"}}]
    clips = {"tier": "oracle", "count": 2}
    return configuration(world) | {"rows": rows, "clips": clips, "search": search, "run": str(tmp_path / "run")}


def test_the_study_holds_every_combination_and_its_best(tree: dict[str, Any]) -> None:
    path = tune(tree)
    study, trials = json.loads(path.read_text()), read_trials(path)
    places = {json.dumps([t["settings"], t["iterations"], t["sigma"]]) for t in trials}
    assert len(trials) == len(places) == 2 * 2 * 2 * 2 and "trials" not in study
    assert study["best"] in trials and study["best"]["objective"] == max(trial["objective"] for trial in trials)
    assert study["best"]["objective"] == pytest.approx(study["best"]["scores"]["video_correlation"])


def test_what_is_done_is_not_done_again(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    first = read_trials(tune(tree))
    tree["search"]["space"] = {"method.beta": [0.1, 1.0]}
    lines: list[str] = []
    second = read_trials(tune(tree, say=lines.append))
    assert second[: len(first)] == first and len(second) > len(first)
    assert len(lines) == 2
    assert "1/1" in lines[0]


def test_a_search_killed_between_its_two_files_finds_its_best_again(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    path = tune(tree)
    whole, packed = path.read_bytes(), trials_file(path).read_bytes()
    path.write_text(json.dumps(json.loads(whole) | {"best": None}))
    assert tune(tree).read_bytes() == whole
    assert trials_file(path).read_bytes() == packed and packed[3:8] == bytes(5), "neither a name nor a time in the file"


def test_a_study_without_its_trials_is_not_searched_over(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    path = tune(tree)
    before = path.read_bytes()
    for spoil in (lambda file: file.write_bytes(file.read_bytes()[:-9]), Path.unlink):
        spoil(trials_file(path))
        with pytest.raises(InputError, match=r"study\.trials\.json\.gz: expected the trials of study\.json.*restore"):
            tune(tree)
        assert path.read_bytes() == before


def test_an_undefined_score_never_wins_and_can_be_continued_from(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    path = tune(tree)
    best = json.loads(path.read_text())["best"]
    undefined = best | {"objective": None, "scores": {"video_correlation": None}}
    trials_file(path).write_bytes(gzip.compress(json.dumps([undefined, *read_trials(path)]).encode()))
    assert json.loads(tune(tree).read_text())["best"] == best
    assert summary(undefined).endswith("video_correlation nan") and "no run" in summary(None)


def test_a_killed_search_goes_on_in_the_middle_of_a_combination(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    whole = read_trials(tune(tree))
    steps, step = [], Lbfgs.step

    def killed_at_the_third(self: Lbfgs, *arguments: Any, **options: Any) -> Any:
        steps.append(len(steps))
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    monkeypatch.setattr(Lbfgs, "step", killed_at_the_third)
    tree["search"]["study"] = str(tmp_path / "killed.json")
    with pytest.raises(KeyboardInterrupt):
        tune(tree)
    again = read_trials(tune(tree))
    assert len(steps) == 4, "three steps, of which the third was cut off and done again"
    assert [trial | {"seconds": 0} for trial in again] == [trial | {"seconds": 0} for trial in whole]
    assert not any((tmp_path / "run" / "tuning").iterdir())


def test_another_search_never_overwrites_a_study(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    before = tune(tree).read_bytes()
    tree["search"]["sigma"] = [[2, 2, 2]]
    with pytest.raises(ValueError, match="study of the same search"):
        tune(tree)
    assert Path(tree["search"]["study"]).read_bytes() == before


def test_trials_of_other_weights_are_never_mixed(tree: dict[str, Any], world: Path, tmp_path: Path) -> None:
    weights = Path(shutil.copy(world / "encoder0.safetensors", tmp_path / "own.safetensors"))
    tree["encoders"] = {"seed0": {"name": "core_readout", "weights": str(weights)}}
    tree["search"] |= {"space": {"method.beta": [0.1]}, "iterations": [1], "sigma": [[0, 0, 0]]}
    before = tune(tree).read_bytes()
    shutil.copy(world / "encoder1.safetensors", weights)
    with pytest.raises(InputError, match=r"study of the same search, got other \['content'\]"):
        tune(tree)
    assert Path(tree["search"]["study"]).read_bytes() == before


def test_trials_of_other_code_are_never_mixed(tree: dict[str, Any]) -> None:
    tree["search"]["space"] = {"method.beta": [0.1]}
    path = tune(tree)
    trials = read_trials(path)
    assert len(trials[-1]["code"]) == 16
    trials[0]["code"] = "another"
    trials_file(path).write_bytes(gzip.compress(json.dumps(trials).encode()))
    with pytest.raises(InputError, match=r"study of the same search, got other \['code'\]"):
        tune(tree)


def test_test_clips_are_refused(tree: dict[str, Any]) -> None:
    tree["clips"] = {"tier": "live_test_main", "count": 2}
    with pytest.raises(ValueError, match="never chosen on test clips"):
        tune(tree)


def test_an_unknown_metric_is_named(tree: dict[str, Any]) -> None:
    tree["search"]["objective"] = {"video_corelation": 1}
    with pytest.raises(ValueError, match="video_corelation"):
        tune(tree)


def searches(tree: dict[str, Any], tmp_path: Path, **changed: Any) -> dict[str, Any]:
    """Return the configuration of a search over two rows."""
    both = {
        "studies": str(tmp_path / "studies"),
        "budget": 3,
        "sigma": [[0, 0, 0], [2, 1, 1]],
        "of": {
            "ridge": {"row": {"label": "ridge", "method": {"name": "ridge"}}, "space": {"method.root": [True, False]}},
            "map": {
                "row": {"label": "map", "method": {"preset": "map_spectrum", "iterations": 3}},
                "space": {"method.beta": [0.1, 1.0]},
                "iterations": [1, 3],
            },
        },
    }
    kept = {key: value for key, value in tree.items() if key not in ("rows", "search")}
    return kept | {"searches": both | changed}


def test_one_file_tunes_several_rows_alike_and_the_best_can_be_named(tree: dict[str, Any], tmp_path: Path) -> None:
    folder = tune(searches(tree, tmp_path))
    studies = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    lengths = {name: len(read_trials(folder / f"{name}.json")) for name in studies}
    assert lengths == {"ridge": 2 * 2, "map": 2 * 2 * 2}
    for name, study in studies.items():
        found = config.expand({"tuned": name}, (tmp_path / "methods",))
        inner = found["method"] if any(study["best"]["sigma"]) else found
        assert inner == study["config"]["rows"][0]["method"] | {
            key.removeprefix("method."): value for key, value in study["best"]["settings"].items()
        } | ({"iterations": study["best"]["iterations"]} if name == "map" else {})
        assert found.get("sigma", [0, 0, 0]) == study["best"]["sigma"]
    changed = config.expand({"tuned": "map", "iterations": 9, "optimiser": {"memory": 2}}, (tmp_path / "methods",))
    inner = changed.get("method", changed)
    assert inner["iterations"] == 9 and inner["optimiser"]["memory"] == 2 and inner["optimiser"]["name"] == "lbfgs"
    with pytest.raises(ValueError, match=r"expected one of .*map, .*ridge, .*got 'nothing'; or run `recon tune`"):
        config.expand({"tuned": "nothing"}, (tmp_path / "methods",))


def test_searches_run_only_what_is_asked_and_refuse_more_than_the_budget(tree: dict[str, Any], tmp_path: Path) -> None:
    folder = tune(searches(tree, tmp_path, only=["ridge"]))
    assert sorted(path.name for path in folder.iterdir()) == ["ridge.json", "ridge.trials.json.gz"]
    with pytest.raises(ValueError, match="at most 1 combinations, got 2"):
        tune(searches(tree, tmp_path, budget=1))
    with pytest.raises(ValueError, match=r"out of \['map', 'ridge'\], got \['rigde'\]"):
        tune(searches(tree, tmp_path, only=["rigde"]))
    with pytest.raises(ValueError, match="expected row, space and iterations"):
        tune(searches(tree, tmp_path, of={"ridge": {"rows": {}}}))
