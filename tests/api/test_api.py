"""The Python API on a tiny recording: what it computes, shows, saves and refuses."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from worlds.bench import configuration, make_world

import recon
from recon.api.asked import method_of
from recon.files import read_table
from recon.methods import Gradient
from recon.methods.text.sources import Typed
from recon.study.benchmark import benchmark

QUICK = {"preset": "map_spectrum", "iterations": 3}
HOW: dict[str, Any] = {"frames": (20, 4), "neurons": (0.1, 0.2), "device": "cpu"}

LIGHT = """
import sys, time
began = time.perf_counter()
import recon
print(time.perf_counter() - began, sorted({"torch", "numpy", "pandas"} & set(sys.modules)))
"""


def test_importing_recon_loads_nothing_heavy() -> None:
    shown = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True).stdout
    seconds, loaded = shown.split(maxsplit=1)
    assert loaded.strip() == "[]" and float(seconds) < 0.2


def test_every_public_name_is_there_and_explained() -> None:
    for name in recon.PUBLIC:
        assert name in dir(recon) and getattr(recon, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'reconstrct'; public names: "):
        getattr(recon, "reconstr" + "ct")


@pytest.fixture(scope="module")
def mouse(tmp_path_factory: pytest.TempPathFactory) -> recon.OpenRecording:
    return recon.open_recording(make_world(tmp_path_factory.mktemp("api")).parent / "recording")


@pytest.fixture(scope="module")
def result(mouse: recon.OpenRecording) -> recon.Result:
    encoder = mouse.path.parent / "encoder0.safetensors"
    judge = mouse.path.parent / "encoder2.safetensors"
    return recon.reconstruct(mouse.clips("test", count=3), encoder, QUICK, judge=judge, **HOW)


def test_python_and_yaml_give_equal_movies_and_scores(mouse: recon.OpenRecording, result: recon.Result) -> None:
    tree = configuration(mouse.path.parent)
    run = benchmark({**tree, "rows": [{"label": "map_spectrum", "method": QUICK}]})
    (task,) = (run / "tasks").glob("*")
    with h5py.File(task / "movie.h5") as file:
        stored = {int(name): np.asarray(group["reconstruction"]) for name, group in file.items()}
    for shown, row in zip(result.shown, read_table(run / "results.csv"), strict=True):
        np.testing.assert_array_equal(shown.movie.mean(0).half().numpy(), stored[shown.trial])
        scores = {name: row[name] for name in result.scores().columns[:-1] if row[name]}
        assert {name: float(value) for name, value in scores.items()} == {name: shown.row[name] for name in scores}
        assert row["message"] == shown.row["message"] and scores["video_correlation"]


def test_everything_can_be_pickled(mouse: recon.OpenRecording, result: recon.Result) -> None:
    clips = mouse.clips("validation", count=1)
    encoder = recon.load_encoder(mouse.path.parent / "encoder0.safetensors", device="cpu")
    for thing in (mouse, clips, encoder, result, method_of("refined").method):
        again = pickle.loads(pickle.dumps(thing))
        assert repr(again) == repr(thing)
    assert torch.equal(pickle.loads(pickle.dumps(result)).movie, result.movie)


def test_objects_print_themselves(mouse: recon.OpenRecording, result: recon.Result) -> None:
    assert repr(mouse).splitlines()[:3] == [
        "Recording recording, simulated",
        "  neurons  24",
        "  trials   6 train, 8 oracle (validation), 12 live_test_main (test)",
    ]
    assert "16 × 24 pixels, 64° × 96° (4° per pixel), 30 Hz" in mouse._repr_html_()
    assert "3.0 s, shown 4 ×" in repr(mouse.clips(count=1))
    encoder = recon.load_encoder(mouse.path.parent / "encoder0.safetensors", device="cpu")
    assert repr(encoder).splitlines()[:2] == ["Encoder CoreReadout", "  neurons   24, rates raw"]
    assert "Result of map_spectrum" in repr(result) and "video r" in repr(result) and "finished" in repr(result)


def test_scores_are_a_table_with_reasons(result: recon.Result) -> None:
    table = result.scores()
    assert list(table.index) == list(result.trials) and table.index.name == "trial"
    assert table["video_correlation"].notna().all() and table["judge_correlation"].notna().all()
    undefined = [name for name in table.columns[:-1] if table[name].isna().any()]
    assert undefined and all(name in table["notes"].iloc[0] for name in undefined)


def test_a_result_is_shown_and_saved(result: recon.Result, tmp_path: Path) -> None:
    page = result.show(beside=result)._repr_html_()
    assert page.count("data:image/webp;base64,") == 3 and "map_spectrum (2), video r" in page
    assert "http" not in page and "<script" not in page
    assert np.array_equal(np.load(result.save(tmp_path / "clip.npy")), result.movie.numpy())
    with h5py.File(result.save(tmp_path / "clip.h5")) as file:
        group = file[str(result.trials[0])]
        assert group.attrs["method"] == "map_spectrum" and group["truth"].shape == group["reconstruction"].shape
    assert result.save(tmp_path / "clip.mp4", beside=result).stat().st_size > 1000
    with pytest.raises(recon.InputError, match=r"expected a name that ends in .mp4, .npy, .npz or .h5, got .gif"):
        result.save(tmp_path / "clip.gif")


def test_what_is_shown_is_escaped(result: recon.Result) -> None:
    first = dataclasses.replace(result.shown[0], caption="<script>alert(1)</script>")
    page = dataclasses.replace(result, shown=(first,), method="<b>").show().html
    assert "<script" not in page and "<b>," not in page and "&lt;script&gt;" in page


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECON_CACHE", str(tmp_path / "file"))
    with pytest.raises(recon.InputError, match=r"cache: expected to write to .*; set RECON_CACHE to a folder"):
        recon.from_arrays(np.zeros((60, 4, 4)), np.ones((5, 60)), degrees_per_pixel=1.0)


def test_clips_of_several_lengths_and_small_batches(mouse: recon.OpenRecording) -> None:
    encoder = mouse.path.parent / "encoder0.safetensors"
    chosen = mouse.clips(trials=[0, 6])
    result = recon.reconstruct(chosen, encoder, Gradient(iterations=1), label="mine", batch=1, **HOW)
    assert result.method == "mine" and [shown.movie.shape[1] for shown in result.shown] == [150, 90]
    with pytest.raises(recon.InputError, match=r"expected clips of one length, got \[90, 150\]"):
        str(result.movie)


def test_a_trace_is_a_tensorboard_folder(mouse: recon.OpenRecording, tmp_path: Path) -> None:
    kept = tmp_path / "mine.txt"
    kept.write_text("the user's own file")
    encoder = mouse.path.parent / "encoder0.safetensors"
    recon.reconstruct(mouse.clips(count=1), encoder, {**QUICK, "iterations": 1}, trace=tmp_path, **HOW)
    assert list(tmp_path.rglob("events.out.tfevents.*")) and kept.is_file()


def test_text_reaches_the_prior_inside_a_method() -> None:
    told = method_of("refined", text="a disc moves").method
    assert told.method.denoiser.text == Typed("a disc moves") and told.method.start.iterations == 15
    with pytest.raises(recon.InputError, match=r"text: expected a method with a prior .* got Gradient"):
        method_of("map_spectrum", text="a disc moves")


def test_an_encoder_is_found_by_name_file_folder_and_configuration(mouse: recon.OpenRecording, tmp_path: Path) -> None:
    file = mouse.path.parent / "encoder0.safetensors"
    (tmp_path / "encoder.safetensors").write_bytes(file.read_bytes())
    loaded = [recon.load_encoder(name, device="cpu") for name in (file, str(file), tmp_path)]
    loaded += [recon.load_encoder({"name": "core_readout", "weights": str(file)}, device="cpu")]
    assert all(encoder.spec == loaded[0].spec for encoder in loaded) and recon.load_encoder(loaded[0]) is loaded[0]
    with pytest.raises(recon.InputError, match=r"expected one weights file .* got encoder0.safetensors, encoder1"):
        recon.load_encoder(file.parent)
    with pytest.raises(recon.InputError, match="did you mean 'v1_seed0'"):
        recon.load_encoder("v1_sed0")


def test_an_own_encoder_stays_as_it_was(mouse: recon.OpenRecording) -> None:
    encoder = recon.load_encoder(mouse.path.parent / "encoder0.safetensors", device="cpu").train().requires_grad_(True)
    recon.reconstruct(mouse.clips(count=1), encoder, {**QUICK, "iterations": 1}, **HOW)
    assert encoder.training and all(parameter.requires_grad for parameter in encoder.parameters())


def test_what_does_not_fit_is_refused_before_anything_is_computed(mouse: recon.OpenRecording) -> None:
    with pytest.raises(recon.InputError, match=r"encoder: expected 24 neurons as in .*, got 1000"):
        recon.reconstruct(mouse.clips(count=1), "v1_seed0", QUICK, **HOW)
    encoder = mouse.path.parent / "encoder0.safetensors"
    with pytest.raises(recon.InputError, match=r"expected clips of more than 60 frames, got 90|lower frames.warmup"):
        recon.reconstruct(mouse.clips(count=1), encoder, QUICK, device="cpu", frames=(80, 10))
    with pytest.raises(recon.InputError, match=r"preset: expected one of .*did you mean 'map_spectrum'"):
        recon.reconstruct(mouse.clips(count=1), encoder, "map_spectrm", **HOW)
    with pytest.raises(recon.InputError, match="clips: expected 2 videos with responses in tier nowhere, got 0"):
        mouse.clips("nowhere")


def test_the_same_arrays_are_imported_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    movie, responses = random.random((300, 8, 12)), random.random((10, 300))
    made = [recon.from_arrays(movie, responses, degrees_per_pixel=8.0, trial_frames=30) for _ in range(2)]
    assert made[0].path == made[1].path and made[0].neurons == 10
    other = recon.from_arrays(movie, responses, degrees_per_pixel=9.0, trial_frames=30, folder=tmp_path / "own")
    assert other.path == tmp_path / "own" and other.reader.degrees_per_pixel == 9.0
