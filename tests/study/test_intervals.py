"""Calibrated intervals of a benchmark and of the API: learnt once from clips of their own, scored, stored, refused."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from worlds.bench import configuration, write_encoder

import recon
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.files import read_table
from recon.methods.artefacts import load_artefact
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.study.benchmark import benchmark
from recon.study.executors.tasks import Tasks

SMALL = replace(TINY, minutes=0.1, validation_clips=1, test_clips=3, repeats=2, calibration_clips=10, clip_frames=40)
SMALL = replace(SMALL, train_frames=60)
HOW: dict[str, Any] = {"frames": (20, 4), "neurons": (0.1, 0.2), "device": "cpu"}
CONSTANT = {"calibration": {"base": "constant"}}
RIDGE = [{"label": "ridge", "method": {"name": "ridge"}}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intervals")
    recording = SensoriumRecording(simulate(folder / "recording", SMALL, progress=False))
    for seed in range(3):
        write_encoder(folder / f"encoder{seed}.safetensors", recording, seed=seed)
    return folder


@pytest.fixture(scope="module")
def mouse(world: Path) -> recon.OpenRecording:
    return recon.open_recording(world / "recording")


@pytest.fixture(scope="module")
def found(world: Path, mouse: recon.OpenRecording) -> recon.CalibratedMethod:
    encoder = world / "encoder0.safetensors"
    return recon.calibrate("ridge", mouse, encoder, base="constant", artefacts=world / "artefacts", **HOW)


@pytest.fixture(scope="module")
def result(world: Path, mouse: recon.OpenRecording, found: recon.CalibratedMethod) -> recon.Result:
    place = {"artefacts": world / "artefacts", "calibration": found, "judge": world / "encoder2.safetensors"}
    return recon.reconstruct(mouse.clips(count=3), world / "encoder0.safetensors", "ridge", **place, **HOW)


def tree(world: Path, **more: Any) -> dict[str, Any]:
    return configuration(world) | {"rows": RIDGE, "intervals": CONSTANT} | more


def test_a_result_has_bounds_and_a_deviation(result: recon.Result) -> None:
    bounds = result.interval(0.9)
    assert bounds.lower.shape == bounds.upper.shape == result.sd.shape == result.movie.shape
    scored = slice(20, 36)
    lower, movie, upper = (each[:, :, scored] for each in (result.lower, result.movie, result.upper))
    assert (lower <= movie).all() and (movie <= upper).all() and torch.equal(result.lower, bounds.lower)
    assert (result.sd[:, :, scored] < bounds.half_width[:, :, scored] + 1e-6).all()
    assert (result.lower[:, :, :20] == 0).all() and (result.upper[:, :, -4:] == 1).all()
    assert (result.interval(0.5).half_width <= bounds.half_width).all()
    for shown in result.shown:
        inside = (shown.truth >= shown.interval().lower) & (shown.truth <= shown.interval().upper)
        assert shown.row["calibrated_coverage_90"] == pytest.approx(float(inside[:, scored].float().mean()))
        assert shown.row["half_width_90"] == pytest.approx(float(shown.interval().half_width[:, scored].mean()))
    assert {"calibrated_coverage_90", "half_width_90"} <= set(result.scores().columns)


def test_it_is_saved_with_its_bounds(result: recon.Result, tmp_path: Path) -> None:
    with np.load(io.BytesIO(result.save(tmp_path / "a.npz").read_bytes())) as file:
        assert set(file) == {"trials", "reconstruction", "lower", "upper", "sd"}
        np.testing.assert_array_equal(file["lower"], result.lower.numpy())
    with h5py.File(result.save(tmp_path / "a.h5")) as file:
        group = file[str(result.trials[0])]
        assert set(group) == {"truth", "reconstruction", "lower", "upper", "sd"}
        np.testing.assert_allclose(np.asarray(group["sd"]), result.sd[0].mean(0).numpy())
    assert torch.equal(pickle.loads(pickle.dumps(result)).upper, result.upper)


def test_a_benchmark_gives_the_same_columns_and_layers(world: Path, result: recon.Result) -> None:
    before = sorted((world / "artefacts").glob("intervals-*"))
    run = benchmark(tree(world, clips={"count": 3}))
    assert sorted((world / "artefacts").glob("intervals-*")) == before and len(before) == 1, "learnt once"
    for row, shown in zip(read_table(run / "results.csv"), result.shown, strict=True):
        for name in ("calibrated_coverage_90", "half_width_90"):
            assert float(row[name]) == shown.row[name]
    (task,) = (run / "tasks").glob("*")
    assert before[0].name in (task / "row.json").read_text("utf-8")
    with h5py.File(task / "movie.h5") as file:
        group = file[str(result.trials[0])]
        assert set(group) == {"reconstruction", "lower", "upper", "sd"}
        np.testing.assert_array_equal(np.asarray(group["upper"]), result.upper[0].mean(0).half().numpy())
    assert int(load_artefact(before[0], method="intervals")["risk.clips"]) == 10


def test_a_calibration_of_something_else_is_refused(
    world: Path, mouse: recon.OpenRecording, found: recon.CalibratedMethod
) -> None:
    for encoder, method, options in (
        ("encoder1", "ridge", HOW),
        ("encoder0", "mean", HOW),
        ("encoder0", "ridge", HOW | {"frames": (10, 4)}),
    ):
        with pytest.raises(InputError, match="calibration: expected one of this method"):
            weights = world / f"{encoder}.safetensors"
            recon.reconstruct(mouse.clips(count=2), weights, method, calibration=found, **options)
    with pytest.raises(InputError, match="interval: expected a calibrated result"):
        plain = recon.reconstruct(mouse.clips(count=1), world / "encoder0.safetensors", "mean", **HOW)
        plain.interval()


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ({"tier": "oracle"}, "no training, selection or stopping has seen, got tier oracle"),
        ({"trials": [0, 1]}, "got trials 0, 1 of tier train"),
        ({"tier": "live_test_main"}, "trials .* of videos that the scored clips show too"),
        ({"tier": "final_test_main"}, "expected calibration clips with responses in tier final_test_main"),
        ({"count": 8, **CONSTANT}, "expected at least 9 calibration clips .*, got 8"),
        ({"count": 10}, "expected at least 15 calibration clips"),
        ({"count": 99}, "expected 99 videos with responses"),
    ],
)
def test_wrong_clips_are_refused_at_second_0(world: Path, intervals: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tasks.of(tree(world, intervals=intervals))


def test_rows_of_several_repeats_have_no_intervals_and_say_so(world: Path) -> None:
    row = {**RIDGE[0], "condition": "repeats_joint"}
    run = benchmark(tree(world, rows=[row], run=str(world / "repeats"), clips={"count": 1}))
    (scored,) = read_table(run / "results.csv")
    assert scored["half_width_90"] == "" and "calibration clips are shown once" in scored["message"]
