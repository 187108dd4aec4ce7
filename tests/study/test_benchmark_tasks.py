"""Tasks of a benchmark: what a method is given, the null, the scores, the key and the fitted noise of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from worlds.bench import bench_of
from worlds.commands import rows_of

from recon import config
from recon.data.sensorium import SensoriumRecording
from recon.problem import fit
from recon.problem.clips import Clips, batches, choose_clips, likeness
from recon.problem.conditions import presentations
from recon.problem.fit import cut, fit_fidelity
from recon.study.benchmark import benchmark
from recon.study.task import Task

MAP = {"preset": "map_spectrum", "iterations": 2}


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
