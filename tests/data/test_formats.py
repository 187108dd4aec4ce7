"""Recordings of every format: read, aligned by time, converted, checked, reconstructed and scored."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from worlds import bench as tiny_bench
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.sessions import CELLS, SETTINGS, agreement, films, session_of

from recon.cli import main
from recon.data.check import check
from recon.data.formats import format_of
from recon.data.formats.convert import Conversion, convert
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.encoders.base import Spec
from recon.encoders.checkpoints import save_encoder
from recon.encoders.core_readout.model import CoreReadout
from recon.study.benchmark import benchmark

KINDS = ("experanto", "experanto shifts", "experanto spikes", "allen", "microns", "neuropixels", "twin")


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("source")
    kind: str = request.param
    if kind == "allen":
        return kind, formats_nwb.write_allen(folder / "510859641.nwb")[0]
    if kind == "microns":
        return kind, formats_nwb.write_microns(folder / "scan.nwb", films(60.0, jitter=0.002))
    if kind == "neuropixels":
        return kind, formats_nwb.write_neuropixels(folder / "session.nwb")[0]
    if kind == "twin":
        return kind, worlds.write_twin(folder / "twin", films(30.0))
    spiking, shifts = "spikes" in kind, "shifts" in kind
    return kind, worlds.write_experanto(folder / "mouse", films(30.0), spiking=spiking, shifts=shifts)


def test_every_format_keeps_its_clocks(source: tuple[str, Path], tmp_path: Path) -> None:
    kind, path = source
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    right = agreement(recording)
    assert right > (0.2 if "spikes" in kind or kind == "neuropixels" else 0.9)
    # A frame of 33 ms is less than a sample of the slow scans: their answer is flat about the right place.
    assert right > max(agreement(recording, shift=-3), agreement(recording, shift=3)) + 0.02
    assert check(recording).ok
    assert set(recording.tiers) == {"train", "oracle", "live_test_main"}
    unshifted = convert(session_of(path), tmp_path / "unshifted", Conversion(**{**SETTINGS.__dict__, "lag": 0.0}))
    assert agreement(unshifted, shift=3) == pytest.approx(right, abs=0.03)  # 0.1 s are three frames


def test_every_format_is_reconstructed_and_scored(source: tuple[str, Path], tmp_path: Path) -> None:
    kind, path = source
    if kind in ("experanto shifts", "experanto spikes"):
        pytest.skip("the same reader as experanto: its clocks are tested above")
    changes = ["frame_size=[9,16]", "trial_frames=90", "shortest=45", "lag=0.1"]
    assert main(["data", "convert", str(path), str(tmp_path / "recording"), *changes]) == 0
    reconstruct(open_recording(tmp_path / "recording"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Sensorium 2023", "plain arrays", "NWB 2 by a mapping"])
def test_what_is_not_converted_by_its_looks_is_reconstructed_and_scored(kind: str, tmp_path: Path) -> None:
    shown = [worlds.film(3, rate=30.0, start=4 * k, seed=10 + k) for k in range(10)]
    if kind == "Sensorium 2023":
        worlds.write_mouse(tmp_path / "source/mouse", shown)
        shutil.make_archive(str(tmp_path / "recording"), "zip", tmp_path / "source")
        return reconstruct(open_recording(tmp_path / "recording.zip"), tmp_path)
    if kind == "plain arrays":
        source = worlds.write_arrays(tmp_path / "source", shown)
        arrays = ["--movie", f"{source}/all.h5:stimulus/movie", "--responses", f"{source}/all.npz:responses"]
        more = ["--frame-rate", "30", "--degrees-per-pixel", "2", "--trial-frames", "90"]
        assert main(["data", "import", str(tmp_path / "recording"), *arrays, *more]) == 0
        return reconstruct(open_recording(tmp_path / "recording"), tmp_path, behavior=())
    path = formats_nwb.write_microns(tmp_path / "scan.nwb", films(60.0))
    mapping = {"responses": ["processing/ophys/Fluorescence/*"], "movie": worlds.VIDEO, "intervals": ["intervals/Clip"]}
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping | {"activity": "relative"}))
    changes = ["frame_size=[9,16]", "trial_frames=90", "shortest=45", "--mapping", str(tmp_path / "mapping.yaml")]
    assert main(["data", "convert", str(path), str(tmp_path / "recording"), *changes]) == 0
    return reconstruct(open_recording(tmp_path / "recording"), tmp_path, behavior=())


def reconstruct(recording: SensoriumRecording, folder: Path, *, behavior: tuple[str, ...] = ("running_speed",)) -> None:
    """Check a recording, reconstruct a clip of it by ridge and by input optimisation, and see that both are scored."""
    assert check(recording).ok
    for seed in range(3):
        tiny_bench.write_encoder(folder / f"encoder{seed}.safetensors", recording, seed=seed, behavior=behavior)
    tree: dict[str, Any] = tiny_bench.configuration(folder) | {"clips": {"tier": "live_test_main", "count": 1}}
    run = benchmark(tree | {"recording": str(recording.path)})
    with (run / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["method"] for row in rows} == {"ridge", "map"}
    assert all(np.isfinite(float(row["video_correlation"])) for row in rows)


@pytest.mark.slow
def test_still_images_keep_their_responses_and_are_reconstructed_and_scored(tmp_path: Path) -> None:
    source = worlds.write_stills(tmp_path / "static21067")
    assert main(["data", "convert", str(source), str(tmp_path / "recording"), "frame_size=[9,16]"]) == 0
    recording = open_recording(tmp_path / "recording")
    assert Counter(recording.tiers) == {"train": 63, "oracle": 9, "live_test_main": 34}
    assert len(set(recording.video_ids)) == 63 + 9 + 17
    assert any("2 images with withheld responses" in note for note in recording.made_by["notes"])
    assert not any("left out" in note and "withheld" not in note for note in recording.made_by["notes"])
    trials = [recording.trial(index) for index in range(72)]
    for trial in trials:
        assert trial.movie.shape == (1, 1, 9, 16) and trial.responses.shape == (worlds.UNITS, 1)
        assert trial.movie[0, 0].flatten().numpy()[CELLS] == pytest.approx(trial.responses[:, 0].numpy(), abs=0.5 / 255)
    assert trials[3].behavior is not None and trials[3].behavior[:, 0].tolist() == [33.0, 2.0, 1.0, -1.0]
    assert check(recording).ok
    spec = Spec(recording.frame_size, recording.unit_ids, frame_rate=1.0, behavior=("running_speed",))
    encoder = CoreReadout(spec, replace(tiny_bench.SMALL, core=replace(tiny_bench.SMALL.core, lags=1, temporal=1)))
    encoder.initialise(torch.Generator().manual_seed(0))
    save_encoder(encoder, tmp_path / "still.safetensors", card={})
    known = {"name": "core_readout", "weights": str(tmp_path / "still.safetensors")}
    tree: dict[str, Any] = tiny_bench.configuration(tmp_path) | {"encoders": {"still": known}, "clips": {"count": 9}}
    tree |= {"judge": None, "frames": {"warmup": 0, "tail": 0}}
    tree["rows"][0]["method"]["lags"] = {"first": 0, "last": 0, "bases": 1}
    with (benchmark(tree) / "results.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    ridge, fitted = (
        [float(row["video_correlation"]) for row in rows if row["method"] == name] for name in ("ridge", "map")
    )
    assert len(ridge) == len(fitted) == 9 and np.isfinite(fitted).all()
    assert np.mean(ridge) > 0.1  # a fifth of the pixels has a neuron that counts
    assert all(row["response_correlation"] in ("", "nan") for row in rows)  # one frame has no course in time


def test_folders_of_digital_twins_keep_tiers_repeats_and_say_what_is_missing(tmp_path: Path) -> None:
    source = worlds.write_twin(tmp_path / "data", films(30.0))
    session = session_of(source)
    assert [shown.tier for shown in session.shown] == ["oracle", *["train"] * 5, *["live_test_main"] * 2]
    assert len({shown.content for shown in session.shown}) == 7
    assert set(session.behavior) == {"pupil_dilation", "running_speed"}
    assert any("pupil_x is missing" in note for note in session.notes)
    recording = convert(session, tmp_path / "recording")
    assert recording.frame_rate == 30.0 and len(recording.tiers) == 8
    trial = recording.trial(2)
    stored = np.load(source / "training_data/units/trial2.npy")
    assert np.array_equal(trial.responses.numpy(), stored.T)
    assert len(session_of(source / "evaluation_data").shown) == 2
    np.save(source / "training_data/units/trial2.npy", stored[:-1])
    with pytest.raises(ValueError, match=r"trial2.npy: expected 120 samples, one for each frame, got 119"):
        session_of(source)


def test_other_formats_open_without_being_converted_first(tmp_path: Path) -> None:
    source = worlds.write_twin(tmp_path / "twin", films(30.0))
    first = open_recording(source)
    assert first.path == tmp_path / "twin.recording" and check(first).ok
    made = (first.path / "meta/recording.json").stat().st_mtime_ns
    assert open_recording(source).fingerprint() == first.fingerprint()
    assert (first.path / "meta/recording.json").stat().st_mtime_ns == made
    file = source / "training_data/units/trial1.npy"
    units, before = np.load(file), file.stat()
    np.save(file, units[:, ::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = open_recording(source)
    assert not np.array_equal(again.trial(1).responses.numpy(), units.T)
    assert np.array_equal(again.trial(1).responses.numpy(), units.T[::-1])


def test_what_stands_where_a_conversion_would_go_is_never_overwritten(tmp_path: Path) -> None:
    source = worlds.write_twin(tmp_path / "twin", films(30.0))
    convert(session_of(source), tmp_path / "twin.recording")
    before = (tmp_path / "twin.recording/meta/recording.json").read_text()
    with pytest.raises(ValueError, match="expected a new folder, got one with content"):
        open_recording(source)
    assert (tmp_path / "twin.recording/meta/recording.json").read_text() == before


@pytest.mark.slow
def test_a_zip_of_still_images_opens(tmp_path: Path) -> None:
    worlds.write_stills(tmp_path / "static21067", images=20)
    shutil.make_archive(str(tmp_path / "mouse"), "zip", tmp_path, "static21067")
    shutil.rmtree(tmp_path / "static21067")
    assert len(open_recording(tmp_path / "mouse.zip").tiers) == 22  # 14 + 2 + 4 shown twice, 2 withheld


def test_a_screen_of_pictures_and_one_file_of_all_pieces(tmp_path: Path) -> None:
    """Also: colour, fractions of white, a tier that is unknown, and an eye tracker of other signals."""
    path = worlds.write_experanto(tmp_path / "mouse", films(30.0)[:3])
    screen, metas = path / "screen", sorted((path / "screen/meta").glob("*.yml"))
    pieces = {file.stem: yaml.safe_load(file.read_text()) for file in metas}
    first = np.load(screen / "data/00000.npy")
    np.save(screen / "data/00000.npy", np.repeat(first[..., None] / 255.0, 3, -1).astype(np.float32))
    pieces["00005"] |= {"modality": "image", "tier": "train"}
    Image.fromarray(first[0]).save(screen / "data/00005.png")
    pieces["00002"] |= {"tier": "somewhere"}
    for file in metas:
        file.unlink()
    (screen / "combined_meta.json").write_text(json.dumps(pieces))
    about = yaml.safe_load((path / "eye_tracker/meta.yml").read_text())
    eye = np.fromfile(path / "eye_tracker/data.mem", np.float32).reshape(-1, 4)[:, :2]
    eye.tofile(path / "eye_tracker/data.mem")
    (path / "eye_tracker/meta.yml").write_text(yaml.safe_dump(about | {"n_signals": 2}))
    session = session_of(path)
    assert len(session.shown) == 4 and all(shown.tier == "" for shown in session.shown)
    assert np.allclose(session.shown[0].read(np.array([3, 1])), first[[3, 1]], atol=0.01)
    assert session.shown[3].read(np.array([0])).shape == (1, worlds.ROWS, worlds.COLUMNS)
    assert set(session.behavior) == {"running_speed"}
    said = " ".join(session.notes)
    assert "no known tier" in said and "2 signals" in said


def test_something_else_is_told_from_recordings(tmp_path: Path) -> None:
    (tmp_path / "file.nwb").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="expected one of Sensorium 2022"):
        format_of(tmp_path / "file.nwb")
    with pytest.raises(ValueError, match="expected a recording, got nothing"):
        format_of(tmp_path / "none")
    with pytest.raises(ValueError, match="settings: expected 1 ≤ shortest"):
        Conversion(trial_frames=400)
