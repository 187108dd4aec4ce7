"""A tiny simulated recording on disk: readable, reproducible, reused, refused, interruptible."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon import encoders
from recon.data.open import open_recording
from recon.data.writer import RecordingWriter
from recon.simulate import TINY, SimulationSettings, simulate, simulate_movie_responses
from recon.simulate import recording as module
from recon.simulate.captions import PHRASINGS
from recon.simulate.cells import plant_cells


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("simulated") / "tiny", TINY, progress=False)


def arrays(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.npy"))}


def test_the_reader_opens_it(folder: Path) -> None:
    recording = open_recording(folder)
    assert recording.frame_size == (16, 24) and recording.degrees_per_pixel == 4.0 and recording.acquisition is None
    assert [len(recording.trials(tier)) for tier in ("train", "oracle", "live_test_main")] == [6, 8, 12]
    np.testing.assert_allclose(recording.coordinates, plant_cells(TINY).position)
    trial = recording.trial(recording.trials("live_test_main")[0])
    assert trial.movie.shape == (1, 90, 16, 24) and 0 <= float(trial.movie.min()) <= float(trial.movie.max()) <= 1
    assert trial.responses.shape == (24, 90) and trial.behavior is not None and trial.behavior.shape == (4, 90)
    assert trial.rates is not None and trial.rates.shape == (24, 90) and trial.caption
    assert recording.trial(recording.trials("train")[0]).rates is None


def test_repeats_share_movie_and_id_but_not_noise(folder: Path) -> None:
    recording = open_recording(folder)
    first, second, *_ = recording.trials("live_test_main")
    one, two = recording.trial(first), recording.trial(second)
    assert one.video_id == two.video_id == "test-0000" and torch.equal(one.movie, two.movie)
    assert not torch.equal(one.responses, two.responses)


def test_expected_responses_explain_the_trials(folder: Path) -> None:
    recording = open_recording(folder)
    trials = [recording.trial(i) for tier in ("oracle", "live_test_main") for i in recording.trials(tier)]
    rates = torch.cat([t.rates for t in trials if t.rates is not None], -1)
    responses = torch.cat([t.responses for t in trials], -1)
    assert float(responses.mean() / rates.mean()) == pytest.approx(1.0, abs=0.1)
    pairs = torch.stack([responses, rates], 1)
    assert np.mean([float(torch.corrcoef(p)[0, 1]) for p in pairs]) > 0.25


def test_every_trial_has_captions_and_no_source_is_on_two_sides(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "meta/trials/captions.jsonl").read_text("utf-8").splitlines()]
    tiers = np.load(folder / "meta/trials/tiers.npy")
    used: dict[str, set[str]] = {}
    for line in lines:
        assert len(line["captions"]) == PHRASINGS and line["scenes"][0]["first"] == 0
        used.setdefault(str(tiers[line["trial"]]), set()).update(scene["source"] for scene in line["scenes"])
    assert len(lines) == len(tiers)
    assert not used["train"] & (used["oracle"] | used["live_test_main"]) and not used["oracle"] & used["live_test_main"]


def test_planted_truth_lies_beside_it(folder: Path) -> None:
    for name, array in plant_cells(TINY).as_arrays().items():
        np.testing.assert_array_equal(np.load(folder / f"meta/truth/{name}.npy"), array)


def test_equal_settings_give_equal_bytes_whatever_the_number_of_threads(folder: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = simulate(tmp_path / "threads", TINY, progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert arrays(again) == arrays(folder)


def test_movies_do_not_depend_on_neurons_or_seed(folder: Path, tmp_path: Path) -> None:
    other = simulate(tmp_path / "other", replace(TINY, neurons=9, seed=3, repeats=1, minutes=0.25), progress=False)
    for mine, theirs in ((0, 0), (14, 5)):
        np.testing.assert_array_equal(
            np.load(folder / f"data/videos/{mine}.npy"), np.load(other / f"data/videos/{theirs}.npy")
        )


def test_the_same_recording_is_reused_and_another_is_refused(folder: Path) -> None:
    stamp = (folder / "meta/recording.json").stat().st_mtime_ns
    assert simulate(folder, TINY, progress=False) == folder
    with pytest.raises(ValueError, match=r"got one with neurons=24; choose another folder"):
        simulate(folder, replace(TINY, neurons=25), progress=False)
    assert (folder / "meta/recording.json").stat().st_mtime_ns == stamp


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="got something else"):
        simulate(tmp_path, TINY, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "spike_rates", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "cut", TINY, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_that_simulate_the_same_recording_at_once_both_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster one's stays; another recording that came meanwhile is an error as ever."""
    target, finish = tmp_path / "both", RecordingWriter.finish

    def overtaken(settings: SimulationSettings) -> Callable[[RecordingWriter], Path]:
        def late(writer: RecordingWriter) -> Path:
            with monkeypatch.context() as other:
                other.setattr(RecordingWriter, "finish", finish)
                simulate(target, settings, progress=False)
            return finish(writer)

        return late

    monkeypatch.setattr(RecordingWriter, "finish", overtaken(TINY))
    assert simulate(target, TINY, progress=False) == target
    assert open_recording(target).trials("train") and [path.name for path in tmp_path.iterdir()] == ["both"]
    target = tmp_path / "another"
    monkeypatch.setattr(RecordingWriter, "finish", overtaken(replace(TINY, seed=1)))
    with pytest.raises(ValueError, match="expected a new folder, got one with content"):
        simulate(target, TINY, progress=False)


def test_8_hz_shows_the_same_activity_more_slowly(folder: Path, tmp_path: Path) -> None:
    slow = open_recording(simulate(tmp_path / "slow", replace(TINY, acquisition="8hz"), progress=False))
    fast = open_recording(folder)
    assert slow.acquisition is not None and slow.acquisition.rate == 8.0 and len(slow.acquisition.plane) == 24
    index = fast.trials("live_test_main")[0]
    one, two = fast.trial(index), slow.trial(index)
    assert torch.equal(one.movie, two.movie)
    assert float(two.responses.diff().abs().mean()) < 0.5 * float(one.responses.diff().abs().mean())
    assert float(two.responses.mean() / one.responses.mean()) == pytest.approx(1, abs=0.15)


def test_eye_movements_change_responses_but_not_behavior(folder: Path, tmp_path: Path) -> None:
    settings = replace(TINY, eye_movements=True, minutes=0.1, validation_clips=0, test_clips=1, repeats=1)
    moved = open_recording(simulate(tmp_path / "eyes", settings, progress=False))
    still = open_recording(folder)
    one, two = moved.trial(moved.trials("live_test_main")[0]), still.trial(still.trials("live_test_main")[0])
    assert one.behavior is not None and two.behavior is not None and torch.equal(one.behavior, two.behavior)
    assert one.rates is not None and two.rates is not None and not torch.allclose(one.rates, two.rates)


def test_the_population_answers_any_movie() -> None:
    movies = torch.rand(2, 1, 40, 16, 24, generator=torch.Generator().manual_seed(0))
    for acquisition in ("frame", "8hz"):
        settings = replace(TINY, acquisition=acquisition)
        first = simulate_movie_responses(settings, movies, torch.Generator().manual_seed(1), 3)
        again = simulate_movie_responses(settings, movies, torch.Generator().manual_seed(1), 3)
        assert [tuple(x.shape) for x in first] == [(2, 3, 24, 40), (2, 24, 40), (2, 4, 40)]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_movies_of_another_size_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"movies: expected \[B,1,T,16,24\]"):
        simulate_movie_responses(TINY, torch.zeros(1, 1, 10, 8, 8), torch.Generator())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acquisition": "6hz"}, "acquisition: expected"),
        ({"coverage": 1.5}, "coverage: expected a share"),
        ({"semantic": 0.7, "mixed": 0.6}, "semantic \\+ mixed"),
        ({"neurons": 0}, "sizes: expected positive"),
        ({"clip_frames": 400}, "frames: expected at most 300"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_defaults_are_a_thousand_neurons_and_twenty_minutes() -> None:
    settings = SimulationSettings()
    assert settings.neurons == 1000 and settings.train_trials == 120
    shown = module.presentations(settings)
    assert len(shown) == 120 + 480 and shown[-1].split == "test" and shown[-1].repeat == 9


def test_later_settings_leave_earlier_recordings_valid(tmp_path: Path) -> None:
    """The shipped encoders' recording is found again: a setting that came later stands there only when it is used."""
    card = json.loads((Path(encoders.__file__).parent / "weights/v1_seed0.json").read_text(encoding="utf-8"))
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/recording.json").write_text(json.dumps({"made_by": card["data"]["made_by"]}))
    assert simulate(tmp_path, SimulationSettings(), progress=False) == tmp_path
    with pytest.raises(ValueError, match="got one with patches=None; choose another"):
        simulate(tmp_path, SimulationSettings(patches=2), progress=False)
