"""Rows with weak or empty activity: named, keyed and refused as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from worlds.bench import bench_of
from worlds.commands import rows_of

from recon.errors import InputError
from recon.study.benchmark import benchmark
from recon.study.task import Task

ROW = {"label": "x", "method": {"preset": "ridge"}}


def task_of(tree: dict[str, Any], **row: Any) -> Task:
    bench = bench_of(tree | {"rows": [ROW | row]})
    return Task(bench, bench.plans[0], bench.batches[0])


def test_activity_is_part_of_the_key_only_where_it_is_changed(tree: dict[str, Any]) -> None:
    plain, default = task_of(tree), task_of(tree, activity={"seed": 4})
    shifted, other = task_of(tree, activity={"shifted": True}), task_of(tree, activity={"shifted": True, "seed": 1})
    assert plain.key == default.key and plain.shown is plain.batch
    assert len({plain.key, shifted.key, other.key}) == 3


def test_method_and_scores_read_the_same_activity(tree: dict[str, Any]) -> None:
    task = task_of(tree, activity={"permuted": True})
    problem, shown = task.pose(), task.shown.recorded[0]
    given = problem.observations[0].measurement
    assert not torch.equal(shown, task.batch.recorded[0])
    ratio = given.responses[:, given.neurons] / shown[:, given.neurons].clamp_min(1e-6)
    assert float(ratio.std(-1).median()) < 1e-3 * float(ratio.mean())
    scorer = task.bench.scorer(task.shown)
    assert scorer.batch is task.shown
    assert {trial.index for trial in scorer.others}.isdisjoint(trial.index for trial in task.batch.trials)


def test_changed_clips_are_not_kept_beyond_the_next_row(tree: dict[str, Any]) -> None:
    rows = [ROW | {"label": str(seed), "activity": {"shifted": True, "seed": seed}} for seed in (1, 2)]
    bench = bench_of(tree | {"rows": rows})
    first, second = (Task(bench, entry, bench.batches[0]) for entry in bench.plans)
    bench.scorer(bench.batches[0])
    for task in (first, second, first):
        assert bench.scorer(task.shown).batch is task.shown
        assert len(bench.given) == 1 and len(bench.scorers) == 2


def test_results_name_the_activity_and_a_grey_screen_has_no_correlation(tree: dict[str, Any]) -> None:
    rows = [ROW, *(ROW | {"label": name, "activity": {name: 0.0 if name == "contrast" else True}} for name in NULLS)]
    found = rows_of(benchmark(tree | {"rows": rows}))
    assert {row["condition"] for row in found} == {"recorded", *NULLS.values()}
    grey = [row for row in found if row["condition"] == "grey screen"]
    assert {row["status"] for row in grey} == {"finished"}
    assert {row["video_correlation"] for row in grey} <= {"nan", ""} and all(row["message"] for row in grey)


NULLS = {"contrast": "grey screen", "shifted": "time-shifted", "permuted": "neuron-permuted"}


@pytest.mark.parametrize("row", [{"condition": "wrong_clip"}, {"condition": "repeat_average"}])
def test_changed_activity_has_no_other_condition(tree: dict[str, Any], row: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="activity: expected condition recorded"):
        task_of(tree, activity={"permuted": True}, **row)


def test_a_recording_without_a_simulation_is_refused_before_anything_is_computed(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*about: object) -> None:
        raise InputError("activity: this recording cannot be shown another movie")

    monkeypatch.setattr("recon.problem.weak_activity.settings_of", refuse)
    with pytest.raises(InputError, match="cannot be shown another movie"):
        benchmark(tree | {"rows": [ROW | {"activity": {"contrast": 0.1}}]})
    assert not (tmp_path / "run" / "results.csv").exists()
