"""Missing responses: neurons with NaN are named and masked, padding ends trials, and zero is a count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds.published import edit

from recon.data import content, neuron_scan
from recon.data.check import check
from recon.data.formats.arrays_import import import_arrays
from recon.data.missing_findings import missing_findings
from recon.data.open import open_recording
from recon.data.realigned import realigned
from recon.data.survey import survey
from recon.data.training_facts import TrainingFacts
from recon.data.writer import RecordingWriter

Array = np.ndarray[Any, Any]
Published = Callable[..., Path]
TIERS = ("train", "train", "oracle", "live_test_main")
RNG = np.random.default_rng(0)


def spoil(root: Path, trials: range | tuple[int, ...], rows: int | slice, frames: slice, value: float = np.nan) -> None:
    def change(array: Array) -> Array:
        array[rows, frames] = value
        return array

    for index in trials:
        edit(root, "responses", index, change)


def zero(array: Array) -> Array:
    return np.where(np.isnan(array), array, 0)


@pytest.mark.parametrize(
    ("trials", "frames"),
    [
        pytest.param(range(4), slice(None), id="all NaN"),
        pytest.param(range(4), slice(20, None), id="from the middle on"),
        pytest.param((1,), slice(7, 8), id="one frame of one trial"),
    ],
)
def test_a_neuron_with_nan_is_masked_and_all_else_is_as_without_it(
    published: Published, trials: range | tuple[int, ...], frames: slice
) -> None:
    whole, root = open_recording(published(folder="whole", tiers=TIERS)), published(tiers=TIERS)
    np.save(root / "meta/neurons/area.npy", np.array(list("abcdefg")))
    spoil(root, trials, 0, frames)
    recording, others = open_recording(root), [1, 2, 3, 4, 5, 6]
    assert recording.unit_ids == whole.unit_ids[1:] and recording.all_unit_ids == whole.unit_ids
    assert recording.areas == tuple("bcdefg")
    np.testing.assert_array_equal(recording.coordinates, whole.coordinates[others])
    np.testing.assert_array_equal(
        recording.statistic("responses", "std", frames=40), whole.statistic("responses", "std", frames=40)[others]
    )
    assert TrainingFacts(recording).lengths == (40, 40)
    for index in range(4):
        trial, part = recording.trial(index), recording.part(index, 5, 30)
        assert trial.movie.shape[1] == trial.responses.shape[1] == 40
        np.testing.assert_array_equal(trial.responses, whole.trial(index).responses[others])
        np.testing.assert_array_equal(part.responses, trial.responses[:, 5:30])
    named = f"neuron 0 (unit id 1) is NaN in {len(trials)} of 4 trials"
    assert check(recording).ok and named in missing_findings(recording, survey(recording))[0][1]
    assert recording.learning_fingerprint() != whole.learning_fingerprint()


def test_neurons_of_a_bad_trial_are_kept_without_it(published: Published) -> None:
    root = published(tiers=("train",) * 20)
    spoil(root, (3,), slice(2, 5), slice(11, 14))
    recording = open_recording(root)
    ((level, text),) = missing_findings(recording, survey(recording))
    assert level == "warning" and "3 neurons are masked" in text and "leave out trials 1 (3)" in text
    np.save(root / "meta/trials/tiers.npy", np.array(["train"] * 3 + ["none"] + ["train"] * 16))
    assert len(open_recording(root).unit_ids) == 7


def test_only_padding_of_all_streams_ends_a_trial(published: Published) -> None:
    root = published()
    for variable in ("videos", "responses", "behavior", "pupil_center"):
        edit(root, variable, 0, lambda array: np.where(np.arange(45) < 31, array, np.nan))
    edit(root, "responses", 1, lambda array: np.where(np.arange(45) < 31, array, np.nan))
    recording = open_recording(root)
    assert recording.trial(0).responses.shape == (7, 31)
    with pytest.raises(ValueError, match=r"responses.1\.npy: expected finite values in the 40 .* at frame 31"):
        recording.trial(1)


def test_a_movie_of_whole_numbers_ends_where_the_other_streams_are_padded(published: Published) -> None:
    root = published(tiers=TIERS)
    edit(root, "videos", 0, lambda array: np.nan_to_num(array).astype(np.uint8))
    spoil(root, (0,), 3, slice(None))
    recording = open_recording(root)
    assert recording.trial(0).movie.shape[1] == 40 and recording.masked.masked.tolist() == [3]


def test_no_neuron_at_all_is_no_responses_and_blames_no_other_file(published: Published) -> None:
    root = published()
    spoil(root, (0,), slice(None), slice(None))
    recording = open_recording(root)
    assert not recording.has_responses(0) and recording.frames(0).shape == (40, 12, 16)
    assert TrainingFacts(recording).withheld == (0,) and len(recording.unit_ids) == 7
    with pytest.raises(ValueError, match=r"responses.0\.npy: expected responses, got none"):
        recording.trial(0)
    for variable in ("videos", "behavior", "pupil_center"):
        edit(root, variable, 1, lambda array: np.full_like(array, np.nan))
    spoil(root, (1,), slice(None), slice(None))
    with pytest.raises(ValueError, match="got only NaN; leave this trial out"):
        open_recording(root).frames(1)


def test_infinity_and_a_population_without_a_whole_neuron_are_errors(published: Published) -> None:
    root = published()
    spoil(root, (0,), 2, slice(9, 10), np.inf)
    with pytest.raises(ValueError, match=r"responses.0\.npy: expected finite values in the 40 .* at frame 9"):
        open_recording(root).trial(0)
    spoil(root, (0,), slice(0, 4), slice(5, 6))
    spoil(root, (1,), slice(4, 7), slice(5, 6))
    with pytest.raises(
        ValueError, match=r"every trial, got NaN .* each of 7 .*neuron 0 \(unit id 1\) is NaN in 1 of 4"
    ):
        open_recording(root)


def test_what_was_searched_is_remembered_until_it_changes(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, searched = published(tiers=TIERS), list[str]()
    spoil(root, (1,), 4, slice(3, 5))
    monkeypatch.setenv("RECON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(neuron_scan, "SMALL", 0)
    monkeypatch.setattr(content, "MARGIN", 0)
    search = neuron_scan._search

    def watched(file: Path, count: int) -> tuple[int, ...]:
        searched.append(file.stem)
        return search(file, count)

    monkeypatch.setattr(neuron_scan, "_search", watched)
    assert open_recording(root).unit_ids == open_recording(root).unit_ids == (1, 4, 7, 10, 16, 19)
    assert sorted(searched) == ["0", "1", "2", "3"]
    spoil(root, (2,), 0, slice(3, 5))
    assert open_recording(root).unit_ids == (4, 7, 10, 16, 19) and searched[4:] == ["2"]
    (manifest,) = (tmp_path / "cache/missing").iterdir()
    manifest.write_text(manifest.read_text().replace("[0]", "[5]"))
    assert open_recording(root).unit_ids == (4, 7, 10, 16, 19)


def write(folder: Path, responses: list[Array], tiers: tuple[str, ...] = TIERS) -> Path:
    with RecordingWriter(folder, unit_ids=range(10, 14)) as writer:
        for index, values in enumerate(responses):
            video = np.random.default_rng(index).integers(0, 256, (values.shape[1], 6, 8), dtype=np.uint8)
            writer.write_trial(index, tier=tiers[index], video=video, responses=values)
    return folder


def test_written_nan_is_read_back_and_statistics_leave_it_out(tmp_path: Path) -> None:
    responses = [RNG.gamma(1.0, 2.0, (4, 30)).astype(np.float32) for _ in range(4)]
    responses[0][1, 10:] = responses[1][1, :] = np.nan
    root = write(tmp_path / "world", responses)
    np.testing.assert_array_equal(np.load(root / "data/responses/1.npy"), responses[1])
    recording, both = open_recording(root), np.concatenate(responses[:2], 1)
    assert recording.unit_ids == (10, 12, 13)
    functions: dict[str, Callable[..., Array]] = {"mean": np.nanmean, "std": np.nanstd, "median": np.nanmedian}
    for name, function in functions.items():
        stored = np.load(root / f"meta/statistics/responses/all/{name}.npy")[:, 0]
        np.testing.assert_allclose(stored, function(both, axis=1), rtol=1e-5)
    responses[2][:, 5] = np.nan
    with pytest.raises(ValueError, match=r"responses of trial 2: expected .* got NaN in every neuron at frame 5"):
        write(tmp_path / "other", responses)
    with pytest.raises(ValueError, match="responses of trial 0: expected finite values, got infinity"):
        write(tmp_path / "other", [np.full((4, 30), np.inf)])


def test_import_masks_and_names_a_neuron(tmp_path: Path) -> None:
    movie = RNG.integers(0, 256, (240, 12, 18), dtype=np.uint8)
    responses = RNG.gamma(1.0, 2.0, (5, 240))
    responses[3, 100:] = np.nan
    scale: dict[str, Any] = {"frame_rate": 30.0, "degrees_per_pixel": 1.5, "trial_frames": 40}
    recording = import_arrays(tmp_path / "r", movie=movie, responses=responses, unit_ids=np.arange(20, 25), **scale)
    assert recording.unit_ids == (20, 21, 22, 24) and check(recording).ok
    assert "masked: neuron 3 (unit id 23) is NaN in 1 of 1 trials" in recording.made_by["notes"]
    found = np.concatenate([recording.trial(i).responses for i in range(6)], 1)
    np.testing.assert_allclose(found, responses[[0, 1, 2, 4]], rtol=1e-6)


def test_silent_trials_are_counts_of_zero_from_import_to_training(tmp_path: Path) -> None:
    """Sparse spikes: some trials of every tier, and a whole test tier, hold no spike."""
    counts = [np.zeros((4, 30), np.uint8) for _ in range(4)]
    counts[0][2, 7] = 1
    recording = open_recording(write(tmp_path / "world", counts))
    assert recording.withheld_tiers == () and all(map(recording.has_responses, range(4)))
    assert TrainingFacts(recording).withheld == () and not recording.trial(3).responses.any()
    report = check(recording)
    assert report.ok and report.facts["withheld"] == []
    assert missing_findings(recording, survey(recording)) == [
        ("note", "no neuron responds in trials 3 (1, 2, 3): zeros are counts there")
    ]


def test_zeros_are_withheld_in_whole_test_tiers_of_published_recordings_alone(published: Published) -> None:
    root = published(tiers=("train", "oracle", "live_test_main", "live_test_main", "final_test_main"))
    for index in (0, 1, 2, 4):
        edit(root, "responses", index, zero)
    recording = open_recording(root)
    assert [recording.has_responses(i) for i in range(5)] == [True, True, True, True, False]
    assert recording.withheld_tiers == ("final_test_main",) and TrainingFacts(recording).withheld == ()
    assert not recording.trial(2).responses.any(), "a silent clip of a tier that is not withheld"
    with pytest.raises(ValueError, match="got only zeros; the responses of this final_test_main trial were not"):
        recording.trial(4)
    (note, silent) = missing_findings(recording, survey(recording))
    assert note[1].startswith("every response of final_test_main is zero: taken as withheld")
    assert silent[1].startswith("no neuron responds in trials 3 (0, 1, 2)")
    (root / "meta/recording.json").write_text('{"zeros": "counts"}')
    assert open_recording(root).has_responses(4)


def test_a_copy_on_a_corrected_clock_leaves_masked_neurons_out(published: Published, tmp_path: Path) -> None:
    root = published(tiers=TIERS)
    spoil(root, (1,), 4, slice(7, 8))
    recording = open_recording(root)
    moved = realigned(recording, tmp_path / "moved", lag=2 / 30)
    assert moved.unit_ids == recording.unit_ids and len(moved.unit_ids) == 6
    np.testing.assert_array_equal(moved.trial(1).responses, recording.trial(1).responses[:, 2:])
