"""Recordings of what an encoder predicts for films: which frames, which rates, and that nobody takes them for real."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from worlds.finished_run import make_run

from recon.data.open import open_recording
from recon.encoders import ENCODERS
from recon.encoders.base import Spec, freeze
from recon.encoders.linear import Linear
from recon.media import write_gif, write_mp4
from recon.report.page import write_report
from recon.simulate import TINY, simulate
from recon.simulate.encoded import EncodedSettings, film_frames, show_to_encoder
from recon.simulate.films import read_film
from recon.study.shared import make_recording

SIZE = (9, 16)


def encoder() -> Linear:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(5, 1, 1, *SIZE, generator=generator) * 0.1
    return freeze(Linear(weights, torch.ones(5), spec=Spec(SIZE, (3, 1, 4, 15, 9))))


def named(weights: str) -> Linear:
    """The encoder, from a file that is not read."""
    return encoder()


@pytest.fixture
def settings(tmp_path: Path) -> EncodedSettings:
    """A film whose first half is flat grey, and whose second half has a bright bar that moves."""
    frames = np.full((20, 18, 32), 100, np.uint8)
    for number in range(10, 20):
        frames[number, :, number : number + 8] = 250
    write_gif(tmp_path / "film.gif", frames, frame_rate=30.0)
    return EncodedSettings({"name": "own"}, tmp_path, frames=3, train_trials=4, validation_trials=2)


def shown(settings: EncodedSettings, folder: Path, **changes: Any) -> Path:
    return show_to_encoder(folder, replace(settings, **changes), encoder(), made_by={"settings": {"encoder": "own"}})


def test_frames_are_those_with_contrast_evenly_spread(settings: EncodedSettings) -> None:
    ((name, frames),) = film_frames(settings, SIZE)
    film = read_film(settings.films / "film.gif", frame_size=SIZE)
    seen = np.flatnonzero(film[:, 0:36, 0:64].std((1, 2)) >= 25.5)
    assert name == "film.gif" and frames.shape == (3, *SIZE) and frames.dtype == np.uint8
    for frame, place in zip(frames, (seen[0], seen[(len(seen) - 1) // 2], seen[-1]), strict=True):
        assert np.abs(frame - film[place]).max() <= 0.5
    with pytest.raises(ValueError, match=r"expected 99 frames of contrast 0\.1, got"):
        film_frames(replace(settings, frames=99), SIZE)
    with pytest.raises(ValueError, match="expected a folder"):
        film_frames(replace(settings, films=Path("nowhere")), SIZE)


@pytest.mark.slow
def test_rates_are_the_encoders_and_responses_are_drawn_from_them(settings: EncodedSettings, tmp_path: Path) -> None:
    recording = open_recording(shown(settings, tmp_path / "recording"))
    assert [recording.tiers.count(tier) for tier in ("train", "oracle", "live_test_main")] == [4, 2, 1]
    assert recording.unit_ids == (3, 1, 4, 15, 9)
    trial = recording.trial(recording.trials("live_test_main")[0])
    expected = encoder()(trial.movie[None])[0].clamp_min(0)
    assert trial.rates is not None and torch.allclose(trial.rates, expected, atol=1e-5)
    assert torch.equal(trial.responses, trial.responses.round()), "Poisson counts"
    long = open_recording(shown(settings, tmp_path / "long", train_trials=60, frames=3))
    trials = [long.trial(index) for index in long.trials("train")]
    mean = torch.cat([trial.responses for trial in trials], 1).mean(1)
    told = encoder()
    rates = torch.cat([told(trial.movie[None])[0].clamp_min(0) for trial in trials], 1).mean(1)
    assert torch.allclose(mean, rates, atol=5 * float((rates.max() / 180).sqrt()))


def test_equal_settings_give_equal_recordings_that_are_used_again(
    settings: EncodedSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "own", lambda: encoder())
    tree = {"encoder": {"name": "own"}, "films": str(settings.films), "frames": 3, "train_trials": 4}
    make_recording(tmp_path / "first", tree, progress=False)
    before = (tmp_path / "first/meta/recording.json").stat().st_mtime_ns
    make_recording(tmp_path / "first", tree, progress=False)
    assert (tmp_path / "first/meta/recording.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="expected a new folder or a simulation of the same settings"):
        make_recording(tmp_path / "first", tree | {"frames": 2}, progress=False)
    make_recording(tmp_path / "second", tree, progress=False)
    first, second = (open_recording(tmp_path / name) for name in ("first", "second"))
    assert all(torch.equal(first.trial(i).responses, second.trial(i).responses) for i in range(len(first.tiers)))


def test_an_encoder_that_needs_behavior_is_refused(settings: EncodedSettings, tmp_path: Path) -> None:
    running = encoder()
    running.spec = replace(running.spec, behavior=("running_speed",))
    with pytest.raises(ValueError, match="expected one that needs no behavior"):
        show_to_encoder(tmp_path / "recording", settings, running, made_by={})


def test_a_recording_says_where_its_activity_is_from(settings: EncodedSettings, tmp_path: Path) -> None:
    predicted = open_recording(shown(settings, tmp_path / "predicted"))
    simulated = open_recording(simulate(tmp_path / "simulated", replace(TINY, minutes=0.1), progress=False))
    assert (predicted.activity, simulated.activity) == ("predicted", "simulated")
    header = tmp_path / "predicted/meta/recording.json"
    for made_by in ({"command": "recon data import"}, {}):
        header.write_text(json.dumps(json.loads(header.read_text()) | {"made_by": made_by}))
        assert open_recording(tmp_path / "predicted").activity == "recorded"


def test_the_page_says_so_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=1, shape=(16, 6, 8), warmup=2)
    assert "from the activity of" in write_report(run).read_text(encoding="utf-8"), "older runs do not know"
    (run / "recording.json").write_text(json.dumps({"name": "films", "activity": "predicted"}))
    assert "from the predicted activity of" in write_report(run).read_text(encoding="utf-8")


def test_other_films_or_another_encoder_of_the_same_names_make_another_recording(
    settings: EncodedSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "own", named)
    film, weights = settings.films / "film.gif", tmp_path / "own.pth"
    weights.write_bytes(b"one")
    tree = {"encoder": {"name": "own", "weights": str(weights)}, "films": str(settings.films), "frames": 3}
    tree |= {"train_trials": 1, "validation_trials": 1}
    made, simulated = tmp_path / "made", {"minutes": 0.01, "train_frames": 10, "clip_frames": 2}
    simulated |= {
        "neurons": 2,
        "validation_clips": 1,
        "repeats": 1,
        "frame_size": [9, 16],
        "films": str(settings.films),
    }
    make_recording(made, tree, progress=False), make_recording(tmp_path / "simulated", simulated, progress=False)
    weights.write_bytes(b"two")
    with pytest.raises(ValueError, match=r"got one of other content of encoder"):
        make_recording(made, tree, progress=False)
    weights.write_bytes(b"one")
    make_recording(made, tree, progress=False)
    write_gif(film, np.full((20, 18, 32), 90, np.uint8), frame_rate=30.0)
    for folder, chosen in ((made, tree), (tmp_path / "simulated", simulated)):
        with pytest.raises(ValueError, match=r"got one of other content of films"):
            make_recording(folder, chosen, progress=False)
    film.unlink(), weights.unlink()
    for folder, chosen in ((made, tree), (tmp_path / "simulated", simulated)):
        make_recording(folder, chosen, progress=False)


def test_films_of_one_stem_are_two_contents(settings: EncodedSettings, tmp_path: Path) -> None:
    frames = np.full((20, 18, 32), 40, np.uint8)
    for number in range(20):
        frames[number, number // 2 : number // 2 + 6] = 250
    write_mp4(tmp_path / "film.mp4", frames, frame_rate=30.0)
    recording = open_recording(shown(settings, tmp_path / "recording"))
    tests = recording.trials("live_test_main")
    assert len({recording.video_ids[index] for index in tests}) == len(tests) == 2
