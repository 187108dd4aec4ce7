"""Clocks corrected: responses of a known time are read where they should be, and repeats stay repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import clocks

from recon import cli
from recon.data.formats.convert import Conversion, convert
from recon.data.formats.session import Spikes, Stream
from recon.data.layout import Array
from recon.data.realigned import realigned
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError

FILMS = clocks.movies(seed=5, trials=4, frames=60)
FRAME = 1 / clocks.RATE
TIME = np.arange(240.0).reshape(4, 1, 60)
"""The only cell tells the frame of the session."""


def frames_of(recording: SensoriumRecording) -> list[Array]:
    return [
        recording.trial(i).responses[0].double().numpy() for i, tier in enumerate(recording.tiers) if tier != "none"
    ]


def test_responses_are_read_later_within_trials_and_ends_are_dropped(tmp_path: Path) -> None:
    source = clocks.write(tmp_path / "source", FILMS, TIME)
    late = realigned(source, tmp_path / "late", lag=2.5 * FRAME)
    for i, frames in enumerate(frames_of(late)):
        np.testing.assert_allclose(frames, 60 * i + 2.5 + np.arange(57), atol=1e-4)
        np.testing.assert_array_equal(late.frames(i), FILMS[i, :57])
    early = realigned(source, tmp_path / "early", lag=-4 * FRAME)
    np.testing.assert_allclose(frames_of(early)[1], 60 + np.arange(56), atol=1e-4)
    np.testing.assert_array_equal(early.frames(1), FILMS[1, 4:])
    np.testing.assert_allclose(early.made_by["onsets"], 2.0 * np.arange(4) + 4 * FRAME)
    assert (
        "12 frames at the ends" in late.made_by["notes"][-1]
        and "later than in source" in late.made_by["decided"]["clock"]
    )
    with pytest.raises(InputError, match="lag: expected a shift of less than a trial, got one of up to 90 frames"):
        realigned(source, tmp_path / "far", lag=3.0)


def test_counts_stay_counts_and_repeats_stay_repeats(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(1.0, (4, 3, 60)).astype(float)
    source = clocks.write(tmp_path / "source", FILMS[[0, 1, 0, 1]], counts, signal="spikes")
    moved = realigned(source, tmp_path / "moved", lag=0.09, drift=20.0)
    assert moved.signal == "spikes" and len(set(moved.video_ids)) == 2 and moved.video_ids[0] == moved.video_ids[2]
    for i in range(4):
        np.testing.assert_array_equal(moved.trial(i).responses.numpy(), counts[i][:, 3 : 3 + moved.length(i)])


def test_trials_without_a_break_lend_each_other_responses(tmp_path: Path) -> None:
    source = clocks.write(tmp_path / "source", FILMS, TIME, onsets=[0.0, 2.0, 4.0, 6.0])
    late = realigned(source, tmp_path / "late", lag=70 * FRAME)
    assert late.tiers == ("train", "train", "train")
    np.testing.assert_allclose(np.concatenate(frames_of(late)), 70 + np.arange(170), atol=1e-3)
    back = realigned(late, tmp_path / "back", lag=-70 * FRAME)
    np.testing.assert_allclose(np.concatenate(frames_of(back)), 70 + np.arange(100), atol=1e-3)


def test_behavior_captions_areas_and_kinds_are_kept(tmp_path: Path) -> None:
    scenes = [{"first": 0, "end": 3, "captions": ["a"]}, {"first": 3, "end": 60, "captions": ["b"]}]
    behavior = np.arange(120.0).reshape(2, 60)
    with RecordingWriter(tmp_path / "source", unit_ids=[4, 7]) as writer:
        writer.write_areas(["V1", "LM"])
        writer.write_stimuli(["movie", ""])
        for i in (0, 1):
            responses = None if i else np.ones((2, 60))
            tier = ("train", "live_test_main")[i]
            arrays = {"behavior": behavior, "pupil_center": behavior}
            writer.write_trial(i, tier=tier, video=FILMS[i], responses=responses, scenes=scenes, **arrays)
    moved = realigned(SensoriumRecording(tmp_path / "source"), tmp_path / "moved", lag=-5 * FRAME)
    assert moved.areas == ("V1", "LM") and moved.stimuli == ("movie", "") and moved.tiers == ("train", "live_test_main")
    assert [(one["first"], one["end"], one["captions"]) for one in moved.scenes(1)] == [(0, 55, ["b"])]
    np.testing.assert_array_equal(moved.arrays(1)["behavior"], behavior[:, 5:])
    assert moved.has_responses(0) and not moved.has_responses(1)


def test_conversion_reads_a_drifting_clock_where_the_movie_is(tmp_path: Path) -> None:
    """A clock of responses 0.3 s late that gains 1 ms per second: 60 ms per minute."""
    session = clocks.ramp_session(lag=0.3, drift=0.001)
    right = convert(session, tmp_path / "right", Conversion(lag=0.3, drift=60.0))
    onsets = right.made_by["onsets"]
    assert onsets == [0.0, 10.0, 20.0, 40.0, 50.0, 60.0]
    for onset, frames in zip(onsets, frames_of(right), strict=True):
        np.testing.assert_allclose(frames, 5 + onset + np.arange(300) * FRAME, atol=1e-4)
    wrong = convert(session, tmp_path / "wrong", Conversion(lag=0.3))
    assert frames_of(wrong)[-1][-1] == pytest.approx(75 - FRAME - 0.07, abs=1e-3)


def test_the_commands_correct_a_recording_and_an_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = clocks.write(tmp_path / "source", FILMS, TIME)
    assert cli.main(["data", "convert", str(source.path), str(tmp_path / "late"), "lag=0.1", "drift=0"]) == 0
    np.testing.assert_allclose(frames_of(SensoriumRecording(tmp_path / "late"))[0], 3 + np.arange(57), atol=1e-4)
    assert "responses are read 0.1 s and 0 ms per minute later" in capsys.readouterr().out
    assert cli.main(["data", "convert", str(source.path), str(tmp_path / "ms"), "lag=100"]) == 2
    np.save(tmp_path / "movie.npy", FILMS.reshape(240, *clocks.SIZE))
    np.save(tmp_path / "responses.npy", TIME.reshape(1, 240))
    sources = ["--movie", str(tmp_path / "movie.npy"), "--responses", str(tmp_path / "responses.npy")]
    form = ["--frame-rate", "30", "--degrees-per-pixel", "1", "--trial-frames", "60", "--lag", "0.2"]
    assert cli.main(["data", "import", str(tmp_path / "imported"), *sources, *form]) == 0
    imported = SensoriumRecording(tmp_path / "imported")
    np.testing.assert_allclose(np.concatenate(frames_of(imported)), 6 + np.arange(234), atol=1e-3)
    assert imported.name == "imported" and not list(tmp_path.glob(".imported*"))


def test_milliseconds_read_as_seconds_are_refused(tmp_path: Path) -> None:
    session = clocks.ramp_session()
    assert isinstance(session.responses, Stream)
    stream = Stream(session.responses.times * 1000, session.responses.values)
    with pytest.raises(InputError, match="ramp, responses: expected times in seconds, got one every 50 s; divide"):
        convert(replace(session, responses=stream), tmp_path / "r")
    shown = [replace(one, onsets=one.onsets * 1000, end=one.end * 1000) for one in session.shown]
    with pytest.raises(InputError, match=r"frames of the movies: expected times in seconds, got one every 33\.3 s"):
        convert(replace(session, shown=shown), tmp_path / "r")
    spikes = [np.sort(np.random.default_rng(k).uniform(0, 100_000, 300)) for k in range(3)]
    with pytest.raises(InputError, match=r"spikes: expected times in seconds, got 0\.003 spikes per second over 1429"):
        convert(replace(session, responses=Spikes(spikes, (0.0, 100_000.0))), tmp_path / "r")
