"""The benchmark: its table, rows, conditions, resuming and what stands on disk."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from recon import config
from recon.correlation import pearson
from recon.files.code_version import library_versions
from recon.study.benchmark import benchmark
from recon.study.outputs import columns
from recon.study.settings import Settings

MAP = {"preset": "map_spectrum", "iterations": 2}


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_clip_of_every_row_is_in_the_table_and_on_disk(tree: dict[str, Any]) -> None:
    run = benchmark(tree)
    rows = rows_of(run)
    assert [row["method"] for row in rows] == ["ridge"] * 3 + ["map"] * 3
    assert tuple(rows[0]) == columns()
    assert json.loads((run / "recording.json").read_text())["activity"] == "simulated"
    packages = json.loads((run / "environment.json").read_text())["packages"]
    assert packages == {"recon": packages["recon"]} | library_versions() and packages["safetensors"]
    assert all(row["status"] == "finished" and float(row["video_correlation"]) <= 1 for row in rows)
    for folder in (run / "tasks").iterdir():
        stored = json.loads((folder / "row.json").read_text())["rows"]
        assert json.loads((folder / "row.json").read_text())["libraries"] == library_versions()
        with h5py.File(folder / "movie.h5") as movies, h5py.File(run / "clips.h5") as clips:
            for row in stored:
                movie, truth = movies[str(row["trial"])]["reconstruction"], clips[str(row["trial"])]["truth"]
                assert movie.dtype == np.float16 and movie.shape == truth.shape == (90, 16, 24)
                assert 0 <= np.min(movie) <= np.max(movie) <= 1
        assert json.loads((folder / "curves.json").read_text())["temporal_frequency"]["axis"]
    assert not list((run / "partial").iterdir())


def test_scores_are_those_of_the_stored_movie_against_the_truth(tree: dict[str, Any]) -> None:
    run = benchmark(tree)
    for folder in (run / "tasks").iterdir():
        for row in json.loads((folder / "row.json").read_text())["rows"]:
            with h5py.File(folder / "movie.h5") as movies, h5py.File(run / "clips.h5") as clips:
                movie = torch.from_numpy(movies[str(row["trial"])]["reconstruction"][20:86].astype(float))
                truth = torch.from_numpy(clips[str(row["trial"])]["truth"][20:86].astype(float))
            assert row["video_correlation"] == pytest.approx(float(pearson(movie.flatten(), truth.flatten())), abs=2e-3)


def test_a_second_run_changes_no_file(tree: dict[str, Any]) -> None:
    said: list[str] = []
    run = benchmark(tree)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    benchmark(tree, say=said.append)
    assert said == ["[1/2] ridge: done already", "[2/2] map: done already"]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_rows_that_are_no_longer_asked_for_retire_and_come_back(tree: dict[str, Any]) -> None:
    run = benchmark(tree)
    names = sorted(path.name for path in (run / "tasks").iterdir())
    benchmark(tree | {"rows": tree["rows"][:1]})
    assert [row["method"] for row in rows_of(run)] == ["ridge"] * 3
    assert len(list((run / "tasks").iterdir())) == 1
    said: list[str] = []
    benchmark(tree, say=said.append)
    assert names == sorted(path.name for path in (run / "tasks").iterdir())
    assert all("done already" in line for line in said)


def test_batches_give_what_all_clips_together_give(tree: dict[str, Any], tmp_path: Path) -> None:
    together = rows_of(benchmark(tree))
    apart = rows_of(benchmark(tree | {"batch": 2, "run": str(tmp_path / "apart")}))
    for name in ("video_correlation", "judge_correlation", "heldout_neuron_correlation"):
        np.testing.assert_allclose(
            [float(row[name]) for row in together], [float(row[name]) for row in apart], atol=2e-3, err_msg=name
        )


@pytest.mark.parametrize("condition", ["wrong_clip", "predicted", "repeat_average", "repeats_joint"])
def test_conditions_run_with_an_ensemble_of_encoders(tree: dict[str, Any], condition: str) -> None:
    row = {"label": "x", "method": MAP, "condition": condition, "encoders": ["first", "second"]}
    rows = rows_of(benchmark(tree | {"rows": [row]}))
    assert {row["encoder"] for row in rows} == {"first+second"}
    assert {row["oracle"] for row in rows} == {str(condition == "predicted")}
    assert all(row["judge_correlation"] and row["response_correlation"] for row in rows)


def test_a_diverged_method_is_a_row(tree: dict[str, Any]) -> None:
    method = {"name": "gradient", "iterations": 3, "beta": 1e38, "optimiser": {"name": "momentum"}}
    rows = rows_of(benchmark(tree | {"rows": [{"label": "bad", "method": method}]}))
    assert {row["status"] for row in rows} == {"diverged"}
    assert all("not finite" in row["message"] for row in rows)


def test_a_constant_reconstruction_has_empty_scores_with_a_reason(tree: dict[str, Any]) -> None:
    row = {"label": "grey", "method": {"name": "gradient", "iterations": 1, "optimiser": {"name": "adam"}, "beta": 0.0}}
    (first, *_) = rows_of(benchmark(tree | {"rows": [row]}))
    assert first["pixel_correlation"] == "" and "undefined" in first["message"]


KILLED = """
import sys, time
from pathlib import Path
import recon.run.runner
from recon.methods.optimise.lbfgs import Lbfgs
from recon import config
from recon.study.benchmark import benchmark
step = Lbfgs.step
def slow(self, *arguments, **named):
    time.sleep(0.15)
    return step(self, *arguments, **named)
Lbfgs.step = slow
recon.run.runner.reconstruct.__kwdefaults__["every"] = 0.0
benchmark(config.load(sys.argv[1], sys.argv[2:]))
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_numbers_of_an_uninterrupted_one(tree: dict[str, Any], tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    row = {"label": "map", "method": {"preset": "map_spectrum", "iterations": 12}}
    tree = tree | {"rows": [row], "trace_every": 1}
    path = tmp_path / "bench.yaml"
    OmegaConf.save(OmegaConf.create(tree), path)
    torch.set_num_threads(1)
    expected = rows_of(benchmark(tree))
    run = tmp_path / "killed"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path), f"run={run}"], env=environment) as process:
        deadline = time.monotonic() + 60
        while not list(run.glob("partial/*/state.safetensors")):
            assert process.poll() is None and time.monotonic() < deadline, "the run ended before it saved its state"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not list(run.glob("tasks/*")), "the run ended before it was killed"
    said: list[str] = []
    got = rows_of(benchmark(tree | {"run": str(run)}, say=said.append))
    assert "done already" not in said[0]
    for one, other in zip(expected, got, strict=True):
        times = {"seconds", "learning_seconds"}
        assert {k: v for k, v in one.items() if k not in times} == {k: v for k, v in other.items() if k not in times}
    trace = next(run.glob("tasks/*/trace.jsonl")).read_text().splitlines()
    assert [json.loads(line)["step"] for line in trace] == list(range(1, 13))


def test_oracle_and_masked_scores_come_when_they_are_asked_for(tree: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.pad(np.ones((8, 10)), ((2, 6), (4, 10))))
    benchmark(tree | {"matched": True, "mask": {"file": str(tmp_path / "mask.npy")}})
    for row in rows_of(Path(tree["run"])):
        matched, masked, whole = (
            float(row[name])
            for name in ("ssim_matched_oracle", "response_correlation_masked", "response_correlation_true")
        )
        assert -1 <= matched <= 1 and -1 <= masked <= 1
        assert float(row["response_correlation_true_masked"]) != whole
    assert "ssim_matched_oracle" not in columns(config.record(Settings, tree, where="benchmark"))


def test_the_table_says_how_long_learning_took(tree: dict[str, Any]) -> None:
    rows = rows_of(benchmark(tree | {"artefacts": str(Path(tree["run"]) / "artefacts")}))
    assert all(float(row["learning_seconds"]) > 0 for row in rows)


def test_a_row_with_seeds_is_run_with_each(tree: dict[str, Any]) -> None:
    learning = {"steps": 3}
    decoder = {"name": "convolutional", "architecture": {"widths": [4]}, "learning": learning, "frames": 30}
    rows = [{"label": "decoder", "method": decoder, "seeds": [0, 5]}, tree["rows"][0]]
    said: list[str] = []
    run = benchmark(tree | {"rows": rows}, say=said.append)
    assert [line.split(":")[0] for line in said] == ["[1/3] decoder, seed 0", "[2/3] decoder, seed 5", "[3/3] ridge"]
    found = [(row["method"], row["seed"], row["video_correlation"]) for row in rows_of(run)]
    assert [entry[:2] for entry in found] == [("decoder", "0")] * 3 + [("decoder", "5")] * 3 + [("ridge", "0")] * 3
    assert found[0][2] != found[3][2]
    assert {path.name for path in (run / "tensorboard" / "decoder").iterdir()} == {"seed 0", "seed 5"}


def test_seeds_that_repeat_are_refused(tree: dict[str, Any]) -> None:
    rows = [tree["rows"][0] | {"seeds": [1, 1]}]
    with pytest.raises(ValueError, match="each seed once"):
        benchmark(tree | {"rows": rows})


COMMAND = "import sys; from recon.cli import main; sys.exit(main(sys.argv[1:]))"


def families(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows of three families that learn in different ways."""
    learning = {"steps": 12, "validate_every": 4}
    decoder = {"name": "convolutional", "architecture": {"widths": [4]}, "learning": learning, "frames": 30}
    towers = {"space": 4, "hidden": 6, "channels": 2, "cells": 8}
    alignment = {"name": "alignment", "towers": towers, "learning": learning, "batch": 3, "frames": [8], "window": 8}
    return [
        *tree["rows"][:1],
        {"label": "decoder", "method": decoder, "seeds": [0, 1]},
        {"label": "alignment", "method": alignment},
        {"label": "map", "method": {"preset": "map_spectrum", "iterations": 6}},
    ]


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "learning_seconds")} for row in rows]


@pytest.mark.slow
def test_a_bench_stopped_at_random_moments_ends_with_the_same_table(tree: dict[str, Any], tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    torch.set_num_threads(1)
    tree = tree | {"rows": families(tree), "artefacts": str(tmp_path / "whole")}
    expected = without_times(rows_of(benchmark(tree)))
    run = tmp_path / "stopped"
    path = tmp_path / "bench.yaml"
    OmegaConf.save(OmegaConf.create(tree | {"run": str(run), "artefacts": str(tmp_path / "parts")}), path)
    environment, random, stops = {**os.environ, "OMP_NUM_THREADS": "1"}, np.random.default_rng(), 0
    for finished in range(3):  # a random moment after as many tasks: clocks differ too much between machines
        with subprocess.Popen([sys.executable, "-c", COMMAND, "benchmark", str(path)], env=environment) as process:
            while process.poll() is None and not (
                list(run.glob("partial/*")) and len(list(run.glob("tasks/*/row.json"))) >= finished
            ):
                time.sleep(0.005)
            with suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(0, 0.3))
            stops += process.poll() is None
            process.kill()
    assert stops >= 2, "the run ended before it was stopped"
    assert without_times(rows_of(benchmark(config.load(path)))) == expected


def test_only_the_method_whose_artefacts_are_gone_is_done_again(tree: dict[str, Any], tmp_path: Path) -> None:
    artefacts = tmp_path / "artefacts"
    tree = tree | {"rows": families(tree), "artefacts": str(artefacts)}
    before = without_times(rows_of(benchmark(tree)))
    for path in artefacts.glob("convolutional-*"):
        path.unlink()
    said: list[str] = []
    after = without_times(rows_of(benchmark(tree, say=said.append)))
    again = [line.split("] ")[1].split(":")[0] for line in said if "done already" not in line]
    assert again == ["decoder, seed 0", "decoder, seed 1"]
    assert after == before


def test_a_run_and_its_artefacts_may_move_together(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    monkeypatch.chdir(first)
    here = tree | {"run": "run", "artefacts": "artefacts"}
    benchmark(here)
    first.rename(second)
    monkeypatch.chdir(second)
    said: list[str] = []
    benchmark(here, say=said.append)
    assert said and all("done already" in line for line in said)


def test_only_what_was_led_by_an_encoder_saw_behavior(tree: dict[str, Any]) -> None:
    both = ["first", "second"]
    rows = [
        {"label": "decoder", "method": {"name": "ridge"}, "encoders": both},
        {"label": "map", "method": {"preset": "map_spectrum", "iterations": 2}, "encoders": both},
    ]
    found = {row["method"]: row["behavior"] for row in rows_of(benchmark(tree | {"rows": rows}))}
    assert found == {"decoder": "False", "map": "True"}
