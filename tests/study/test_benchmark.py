"""The benchmark: scores, conditions, resuming and what stands on disk."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from worlds.bench import configuration

from recon import config
from recon.code_version import library_versions
from recon.data.sensorium import SensoriumRecording
from recon.metrics.correlation import pearson
from recon.problem import fit
from recon.problem.clips import Clips, batches, choose_clips, likeness
from recon.problem.conditions import presentations
from recon.problem.fit import cut, fit_fidelity
from recon.study.benchmark import benchmark
from recon.study.outputs import COLUMNS, columns
from recon.study.settings import Settings
from recon.study.shared import Bench, plan
from recon.study.task import Task

MAP = {"preset": "map_spectrum", "iterations": 2}


@pytest.fixture
def tree(world: Path, tmp_path: Path) -> dict[str, Any]:
    return configuration(world) | {"run": str(tmp_path / "run")}


def bench_of(tree: dict[str, Any]) -> Bench:
    settings = config.record(Settings, config.expand(tree), where="benchmark")
    return Bench(settings, plan(settings))


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_clip_of_every_row_is_in_the_table_and_on_disk(tree: dict[str, Any]) -> None:
    run = benchmark(tree)
    rows = rows_of(run)
    assert [row["method"] for row in rows] == ["ridge"] * 3 + ["map"] * 3
    assert tuple(rows[0]) == COLUMNS
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


@pytest.mark.parametrize("fidelity", ["gaussian", "mixture", "low_rank"])
@pytest.mark.parametrize("bins", [1, 3])
def test_fidelities_are_fitted_once_and_give_finite_movies(tree: dict[str, Any], fidelity: str, bins: int) -> None:
    row = {"label": "x", "method": MAP, "fidelity": {"name": fidelity}, "bins": bins}
    rows = rows_of(benchmark(tree | {"rows": [row]}))
    assert {row["status"] for row in rows} == {"finished"}
    bench = bench_of(tree | {"rows": [row]})
    before = sorted(bench.settings.artefacts.glob("fidelity-*"))
    Task(bench, bench.plans[0], bench.batches[0]).pose()
    assert before == sorted(bench.settings.artefacts.glob("fidelity-*"))


def test_the_null_of_a_clip_does_not_look_like_it(tree: dict[str, Any]) -> None:
    clips = list(choose_clips(bench_of(tree).recording, Clips(count=3)))
    twin = replace(clips[0].trial, index=99, movie=(clips[0].trial.movie * 0.9).clone())
    with_twin = [clips[0], replace(clips[0], trial=twin), *clips[1:]]
    assert likeness(clips[0].trial.movie, twin.movie) == pytest.approx(1.0)
    (batch,) = batches(bench_of(tree).recording, with_twin, size=9)
    assert batch.strangers[0].index == clips[1].trial.index, "the twin is passed over"
    (pair,) = batches(bench_of(tree).recording, with_twin[:2], size=9)
    assert pair.strangers[0].index == 99, "where all look alike, the least alike"


def test_the_null_gets_the_measurement_of_the_next_clip(tree: dict[str, Any]) -> None:
    bench = bench_of(tree)
    clips = choose_clips(bench.recording, Clips(count=3))
    for size in (3, 2, 1):
        given = []
        for batch in batches(bench.recording, clips, size=size):
            ((responses, behavior),) = presentations(batch, "wrong_clip", bench.encoders["first"])
            assert behavior is not None and len(behavior) == len(responses)
            given.append(responses)
        expected = torch.stack([clips[i].trial.responses for i in (1, 2, 0)])
        torch.testing.assert_close(torch.cat(given), expected)


def test_a_clip_is_the_first_presentation_of_its_video(tree: dict[str, Any]) -> None:
    recording = bench_of(tree).recording
    clips = choose_clips(recording, Clips(count=3))
    assert len({clip.trial.video_id for clip in clips}) == 3
    for clip in clips:
        shown = [i for i, name in enumerate(recording.video_ids) if name == clip.trial.video_id]
        assert [clip.trial.index, *clip.repeats] == shown


def test_report_neurons_reach_no_method(tree: dict[str, Any]) -> None:
    bench = bench_of(tree)
    problem = Task(bench, bench.plans[0], bench.batches[0]).pose()
    measurement = problem.observations[0].measurement
    report = bench.sets["report"]
    assert int(report.sum()) > 0
    assert not measurement.responses[:, report].any()
    assert not (measurement.neurons | measurement.selection)[report].any()


def test_the_truth_scores_highest_and_judge_sees_noise_free_rates(tree: dict[str, Any]) -> None:
    bench = bench_of(tree)
    batch = bench.batches[0]
    scorer = bench.scorer(batch)
    scores = scorer.movie_scores(batch.movie)
    for name in ("video_correlation", "frame_correlation", "pixel_correlation", "ssim"):
        torch.testing.assert_close(scores[name], torch.ones(3), atol=1e-4, rtol=0)
    judged, about = scorer.judge_scores(batch.movie, repeats=True)
    assert about == "judged against noise-free rates"
    torch.testing.assert_close(judged["judge_correlation"], judged["judge_correlation_true"])


def test_without_rates_the_judge_sees_other_repeats_then_report_neurons(tree: dict[str, Any]) -> None:
    import dataclasses

    bench = bench_of(tree)
    batch = bench.batches[0]
    blind = tuple(dataclasses.replace(c, trial=dataclasses.replace(c.trial, rates=None)) for c in batch.clips)
    scorer = bench.scorer(dataclasses.replace(batch, clips=blind))
    assert scorer.judge_scores(batch.movie, repeats=True)[1] == "judged against other repeats"
    assert scorer.judge_scores(batch.movie, repeats=False)[1] == "judged against report neurons"


def test_a_diverged_method_is_a_row(tree: dict[str, Any]) -> None:
    method = {"name": "gradient", "iterations": 3, "optimiser": {"name": "momentum", "learning_rate": float("nan")}}
    rows = rows_of(benchmark(tree | {"rows": [{"label": "bad", "method": method}]}))
    assert {row["status"] for row in rows} == {"diverged"}
    assert all("not finite" in row["message"] for row in rows)


def test_a_constant_reconstruction_has_empty_scores_with_a_reason(tree: dict[str, Any]) -> None:
    row = {"label": "grey", "method": {"name": "gradient", "iterations": 1, "optimiser": {"name": "adam"}, "beta": 0.0}}
    (first, *_) = rows_of(benchmark(tree | {"rows": [row]}))
    assert first["pixel_correlation"] == "" and "undefined" in first["message"]


def test_the_key_of_a_task_depends_on_what_goes_into_it(tree: dict[str, Any]) -> None:
    def key(**changes: Any) -> str:
        bench = bench_of(tree | changes)
        return Task(bench, bench.plans[-1], bench.batches[0]).key

    row = tree["rows"][1]
    variants = [
        {"seed": 1},
        {"clips": {"count": 2}},
        {"frames": {"warmup": 21, "tail": 4}},
        {"neurons": {"selection": 0.1, "report": 0.2, "seed": 1}},
        {"rows": [row | {"method": row["method"] | {"beta": 0.5}}]},
        {"rows": [row | {"encoders": ["second"]}]},
        {"rows": [row | {"bins": 2}]},
        {"rows": [row | {"fidelity": {"name": "gaussian"}}]},
        {"rows": [row | {"condition": "wrong_clip"}]},
        {"judge": None},
    ]
    keys = [key(), *(key(**variant) for variant in variants)]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0] == key(rows=[row])


def test_fitted_noise_ignores_report_neurons(tree: dict[str, Any], tmp_path: Path) -> None:
    bench = bench_of(tree)
    fidelity = config.build("fidelity", {"name": "gaussian"})
    arguments: dict[str, Any] = {"sets": bench.sets, "frames": 60, "bins": 1, "hashes": {}, "artefacts": tmp_path}
    fitted = fit_fidelity(fidelity, bench.recording, bench.encoders, **arguments)
    rates = torch.rand(1, 24, 10)
    mask = bench.sets["fit"][None, :, None].expand_as(rates)
    leaf = rates.clone().requires_grad_(True)
    fitted(leaf, torch.rand_like(rates), mask).sum().backward()
    assert leaf.grad is not None and torch.isfinite(leaf.grad).all()
    assert not leaf.grad[:, ~bench.sets["fit"]].any()


def test_fitted_noise_is_named_by_its_code_and_records_libraries(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asked = bench_of(tree), []

    def version(*modules: str) -> str:
        asked.append(set(modules))
        return f"code {len(asked)}"

    monkeypatch.setattr(fit, "code_version", version)
    fidelity = config.build("fidelity", {"name": "gaussian"})
    arguments: dict[str, Any] = {"sets": bench.sets, "frames": 60, "bins": 1, "hashes": {}, "artefacts": tmp_path}
    for _ in range(2):
        fit_fidelity(fidelity, bench.recording, bench.encoders, **arguments)
    files = list(tmp_path.glob("fidelity-*.safetensors"))
    assert len(files) == 2
    noise, encoder = "recon.problem.fidelities.independent", "recon.encoders.core_readout.model"
    assert asked[0] >= {"recon.problem.fit", noise, encoder, "recon.data.sensorium"}
    with safe_open(str(files[0]), "pt") as file:
        assert json.loads(file.metadata()["libraries"])["torch"]


def test_trials_are_cut_to_equal_length(tree: dict[str, Any]) -> None:
    recording = SensoriumRecording(Path(tree["recording"]))
    (trial,) = cut([recording.trial(0)], 30)
    assert trial.movie.shape[1] == trial.responses.shape[1] == 30 and trial.behavior is not None
    torch.testing.assert_close(trial.responses, recording.trial(0).responses[:, :30])


def test_only_pixels_within_the_bounds_are_scored(tree: dict[str, Any]) -> None:
    bench = bench_of(tree | {"region": [4, 12, 6, 18]})
    batch = bench.batches[0]
    movie = batch.movie.clone()
    movie[..., :4, :] = 0.5
    torch.testing.assert_close(bench.scorer(batch).movie_scores(movie)["video_correlation"], torch.ones(3))


KILLED = """
import sys, time
from pathlib import Path
import recon.run.runner, recon.methods.optimise.gradient as gradient
from recon import config
from recon.study.benchmark import benchmark
step = gradient.Lbfgs.step
def slow(self, *arguments, **named):
    time.sleep(0.15)
    return step(self, *arguments, **named)
gradient.Lbfgs.step = slow
recon.run.runner.reconstruct.__kwdefaults__["every"] = 0.0
benchmark(config.load(sys.argv[1], sys.argv[2:]))
"""


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
        while not list(run.glob("partial/*/state.safetensors")) and time.monotonic() < deadline:
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
