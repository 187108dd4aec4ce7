"""Recordings written in other formats and read back: every number equal."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from recon.cli import main
from recon.data.layout import data_file
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.data.written import WRITTEN, write_as
from recon.data.written.nwb_file import NwbSession

RATE, DEGREES = 24.3, 2.1
LENGTHS = (70, 12, 33, 300, 1, 60, 41)
TIERS = ("train", "oracle", "live_test_main", "train", "final_test_bonus", "live_test_bonus", "train")
WITHHELD, NO_BEHAVIOR, NO_PUPIL, GAPPED = 4, 1, 2, 3
UNITS = (7, 3, 900, 12, 5)


def written(folder: Path, *, signal: str = "deconvolved", behavior: bool = True) -> SensoriumRecording:
    """A recording with all that a round trip may lose; its frames are larger than those that conversions keep."""
    generator = np.random.default_rng(3)
    about = {"signal": signal, "made_by": {"settings": {"seed": 3}, "command": "test"}, "name": "mouse: #3"}
    with RecordingWriter(
        folder,
        unit_ids=UNITS,
        coordinates=generator.normal(size=(5, 3)),
        frame_rate=RATE,
        degrees_per_pixel=DEGREES,
        **about,
    ) as writer:
        writer.write_areas(["V1", "V1", "LM", "V1", "LM"])
        for index, (frames, tier) in enumerate(zip(LENGTHS, TIERS, strict=True)):
            video = generator.integers(0, 256, (frames, 40, 72)).astype(np.float32)
            responses = generator.lognormal(-9, 6, (5, frames)) * (generator.random((5, frames)) < 0.4)
            if index == GAPPED:
                responses[2, 10:20] = np.nan
            rows = generator.normal(size=(4, frames)).astype(np.float32) * 1e-3
            writer.write_trial(
                index,
                tier=tier,
                video=video if index != 5 else np.zeros((frames, 40, 72), np.uint8),
                responses=None if index == WITHHELD else np.minimum(responses, 1e5),
                behavior=rows[:2] if behavior and index != NO_BEHAVIOR else None,
                pupil_center=rows[2:] if behavior and index not in (NO_BEHAVIOR, NO_PUPIL) else None,
            )
    return SensoriumRecording(folder)


def back(recording: SensoriumRecording, folder: Path, name: str) -> SensoriumRecording:
    """Return a recording that was written in a format and opened again."""
    if name == "nwb":
        pytest.importorskip("pynwb")
    target = folder / ("session.nwb" if name == "nwb" else "other")
    write_as(recording, target, name)
    return open_recording(target)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_round_trip_changes_no_number(name: str, tmp_path: Path) -> None:
    first = written(tmp_path / "recording")
    again = back(first, tmp_path, name)
    assert again.path != first.path and again.name == first.name and again.signal == first.signal
    assert (again.frame_rate, again.degrees_per_pixel, again.frame_size) == (RATE, DEGREES, (40, 72))
    assert again.unit_ids == first.unit_ids == (7, 3, 12, 5), "a neuron with NaN is masked"
    assert again.all_unit_ids == UNITS and again.tiers == TIERS and again.areas == first.areas
    assert np.array_equal(again.coordinates, first.coordinates)
    assert again.activity == first.activity == "simulated", "nobody takes it for recorded"
    assert again.video_ids == first.video_ids
    for index in range(len(TIERS)):
        one, other = first.arrays(index), again.arrays(index)
        assert set(one) == set(other), f"trial {index}"
        for variable, array in one.items():
            assert np.array_equal(array, other[variable]), f"trial {index}: {variable}"
            assert array.shape[-1] == LENGTHS[index]
    gapped = [np.load(data_file(one.path, "responses", GAPPED)) for one in (first, again)]
    assert np.isnan(gapped[0]).sum() == 10 and np.array_equal(*gapped, equal_nan=True)
    assert not again.has_responses(WITHHELD) and "behavior" not in again.arrays(NO_BEHAVIOR)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_recording_without_behavior_stays_without(name: str, tmp_path: Path) -> None:
    again = back(written(tmp_path / "recording", signal="", behavior=False), tmp_path, name)
    assert again.signal == "" and all(set(again.arrays(i)) <= {"videos", "responses"} for i in range(len(TIERS)))


def test_an_experanto_folder_is_what_experanto_describes(tmp_path: Path) -> None:
    first = written(tmp_path / "recording")
    write_as(first, tmp_path / "out", "experanto")
    screen, responses = tmp_path / "out/screen", tmp_path / "out/responses"
    entries = json.loads((screen / "combined_meta.json").read_bytes())
    assert [yaml.safe_load((screen / f"meta/{key}.yml").read_bytes()) for key in entries] == list(entries.values())
    clock, place = np.load(screen / "timestamps.npy"), 0
    for key, about in entries.items():
        assert about["first_frame_idx"] == place
        place += about.get("num_frames", 1)
        shape = [about.get("num_frames", 1), *about["image_size"]]
        assert about["modality"] == "blank" or list(np.load(screen / f"data/{key}.npy").shape) == shape
    assert place == len(clock) and (np.diff(clock) > 0).all()
    about = yaml.safe_load((responses / "meta.yml").read_bytes())
    values = np.fromfile(responses / "data.mem", about["dtype"]).reshape(about["n_timestamps"], about["n_signals"])
    assert about["end_time"] - about["start_time"] == pytest.approx(about["n_timestamps"] / RATE)
    found = np.floor((clock - about["start_time"]) / (1 / about["sampling_rate"])).astype(int)  # as experanto does
    assert np.array_equal(found, np.rint(clock * RATE)) and about["sampling_rate"] == RATE
    at = round(clock[entries["00004"]["first_frame_idx"]] * RATE)
    assert np.array_equal(values[at : at + LENGTHS[2]].T[[0, 1, 3, 4]], first.arrays(2)["responses"])
    training = np.concatenate([np.load(data_file(first.path, "responses", i)) for i in (0, 3, 6)], 1).astype(np.float64)
    assert np.load(responses / "meta/means.npy") == pytest.approx(np.nanmean(training, 1), rel=1e-5)
    assert np.load(responses / "meta/stds.npy") == pytest.approx(np.nanstd(training, 1), rel=1e-5)


def test_a_plain_folder_has_the_fields_files_only(tmp_path: Path) -> None:
    write_as(written(tmp_path / "recording"), tmp_path / "plain", "sensorium2023")
    files = {path.relative_to(tmp_path / "plain").as_posix() for path in (tmp_path / "plain").rglob("*.*")}
    meta = {name for name in files if name.startswith("meta/") and "statistics" not in name}
    neurons = {f"meta/neurons/{name}.npy" for name in ("unit_ids", "cell_motor_coordinates", "area")}
    assert meta == neurons | {"meta/trials/tiers.npy", "meta/recording.json"}
    assert (tmp_path / "plain/meta/statistics/responses/all/median.npy").exists()
    assert not data_file(tmp_path / "plain", "responses", WITHHELD).exists()


def test_frames_between_grey_levels_are_rounded_and_told(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "recording", unit_ids=[1]) as writer:
        writer.write_trial(0, tier="train", video=np.full((60, 4, 5), 0.75), responses=np.ones((1, 60)))
    recording = SensoriumRecording(tmp_path / "recording")
    assert any("1 videos: frames are rounded" in note for note in write_as(recording, tmp_path / "out", "experanto"))
    assert np.array_equal(open_recording(tmp_path / "out").frames(0), np.full((60, 4, 5), 1)), "not white: 0–255"


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_overwritten_unasked(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "recording")
    target = tmp_path / "target.nwb"
    target.write_text("mine") if name == "nwb" else target.mkdir()
    (target / "mine.txt").write_text("mine") if target.is_dir() else None
    command = ["data", "convert", str(tmp_path / "recording"), str(target), "--to", name]
    assert main(command) == 2 and "expected" in capsys.readouterr().err
    if name != "nwb":
        assert main([*command, "--overwrite"]) == 2, "a folder of others is never replaced"
        (target / "mine.txt").unlink()
    assert main([*command, "--overwrite"]) == 0 and main([*command, "--overwrite"]) == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    recording = written(tmp_path / "recording")
    data_file(recording.path, "videos", 6).write_bytes(b"damaged")
    for name in WRITTEN:
        with pytest.raises(ValueError, match=r"videos/6\.npy"):
            write_as(recording, tmp_path / f"{name}.nwb", name)
    assert [path.name for path in tmp_path.iterdir()] == ["recording"]


def test_options_of_nwb_alone_and_wrong_ones_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "recording")
    command = ["data", "convert", str(tmp_path / "recording"), str(tmp_path / "out.nwb"), "--to"]
    for wrong in (["experanto", "--start", "2024-05-01T10:00+02:00"], ["nwb", "--start", "2024-05-01T10:00"]):
        assert main([*command, *wrong]) == 2
    assert main([*command, "nwb", "--start", "yesterday"]) == 2 and main([*command, "nwb", "lag=0.1"]) == 2
    assert "convert to a recording first" in capsys.readouterr().err


def test_the_session_of_an_nwb_file_can_be_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pynwb")
    recording = written(tmp_path / "recording")
    write_as(recording, tmp_path / "plain.nwb", "nwb")
    stated = ["--start", "2024-05-01T10:00+02:00", "--subject", "m3", "--species", "Mus musculus", "--sex", "F"]
    assert main(["data", "convert", str(recording.path), str(tmp_path / "out.nwb"), "--to", "nwb", *stated]) == 0
    with h5py.File(tmp_path / "plain.nwb") as plain, h5py.File(tmp_path / "out.nwb") as file:
        assert (
            plain["session_start_time"][()].startswith(b"1970-01-01") and b"unknown" in plain["session_description"][()]
        )
        assert file["session_start_time"][()] == b"2024-05-01T10:00:00+02:00"
        assert file["general/subject/subject_id"][()] == b"m3" and file["general/subject/sex"][()] == b"F"
        assert b"simulated" in file["general/subject/description"][()]
    monkeypatch.setattr("recon.data.written.nwb_file.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"expected the package pynwb, got none; install it by `pip install 'recon"):
        write_as(recording, tmp_path / "none.nwb", "nwb")


def test_nwbinspector_finds_nothing_but_suggestions(tmp_path: Path) -> None:
    if find_spec("nwbinspector") is None:
        pytest.skip("needs nwbinspector: pip install nwbinspector")
    from nwbinspector import inspect_nwbfile

    with RecordingWriter(tmp_path / "dynamic29515-10-12-Video", unit_ids=range(5), signal="spikes") as writer:
        for index in range(4):
            video = np.full((40, 9, 16), index, np.uint8)
            writer.write_trial(index, tier="train", video=video, responses=np.ones((5, 40)))
    write_as(SensoriumRecording(writer.destination), tmp_path / "session.nwb", "nwb", session=NwbSession())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(inspect_nwbfile(nwbfile_path=tmp_path / "session.nwb"))
    assert not [one for one in found if one.importance.name != "BEST_PRACTICE_SUGGESTION"], found
    assert {one.check_function_name for one in found} <= {
        "check_session_start_time_old_date",
        "check_experimenter_exists",
        "check_institution",
    }
