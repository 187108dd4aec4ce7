"""Neurons with NaN, and zeros, in sessions of foreign formats: trials stay whole, and the neuron is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.sessions import SETTINGS, films, session_of

from recon.data.formats.convert import Conversion, convert
from recon.data.formats.neuron_gaps import frame_gaps, masked_in
from recon.data.formats.session import Session, ShownStimulus, Stream

Array = np.ndarray[Any, Any]
UNIT = 5


def source(kind: str, folder: Path) -> Path:
    if kind == "twin":
        return worlds.write_twin(folder / "twin", films(30.0))
    if kind == "microns":
        return formats_nwb.write_microns(folder / "scan.nwb", films(60.0))
    return worlds.write_experanto(folder / "mouse", films(30.0), shifts="shifts" in kind)


def spoil(path: Path, samples: slice) -> None:
    """Make some samples of one unit NaN, with the field's own writer."""
    if path.suffix == ".nwb":
        with h5py.File(path, "a") as file:
            name = sorted(file["processing/ophys/Fluorescence"])[0]
            file[f"processing/ophys/Fluorescence/{name}/data"][samples, UNIT] = np.nan
        return
    for file in sorted(path.glob("*_data/units/**/*.npy")):
        values = np.load(file)
        values[samples, UNIT] = np.nan
        np.save(file, values)
    if (path / "responses/data.mem").exists():
        responses = np.fromfile(path / "responses/data.mem", np.float32).reshape(-1, worlds.UNITS)
        responses[samples, UNIT] = np.nan
        responses.tofile(path / "responses/data.mem")


@pytest.mark.parametrize("kind", ["experanto", "experanto shifts", "twin", "microns"])
@pytest.mark.parametrize("samples", [slice(None), slice(60, None)], ids=["all", "from the middle"])
def test_a_neuron_with_nan_is_masked_and_all_trials_are_whole(kind: str, samples: slice, tmp_path: Path) -> None:
    path = source(kind, tmp_path)
    whole = convert(session_of(path), tmp_path / "whole", SETTINGS)
    spoil(path, samples)
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    assert [recording.length(i) for i in range(len(whole.tiers))] == [whole.length(i) for i in range(len(whole.tiers))]
    assert set(whole.unit_ids) - set(recording.unit_ids) == {whole.unit_ids[UNIT]}
    (note,) = (note for note in recording.made_by["notes"] if "masked" in note)
    assert f"neuron {UNIT} (unit id {whole.unit_ids[UNIT]}) in" in note
    for index in range(len(whole.tiers)):
        others = np.delete(whole.trial(index).responses.numpy(), UNIT, 0)
        np.testing.assert_allclose(recording.trial(index).responses, others, rtol=1e-5, atol=1e-6)


def session(responses: Array, *, rate: float, shifts: Array | None = None) -> Session:
    """A session of two presentations of 4 s and a pause; `responses` `(S,N)` at `rate` Hz from 0 s."""
    stream = Stream(np.arange(len(responses)) / rate, responses, shifts)
    shown = [
        ShownStimulus(begin + np.arange(120) / 30, begin + 4, lambda at: np.zeros((len(at), 9, 16)), tier=tier)
        for begin, tier in ((0, "train"), (6, "oracle"))
    ]
    return Session("made", range(responses.shape[1]), stream, shown)


def test_planes_that_start_and_stop_apart_are_cut_and_not_masked(tmp_path: Path) -> None:
    """Eight planes at 6 Hz: at both ends, and around a pause, some neurons miss up to one sampling interval."""
    responses = np.random.default_rng(0).random((60, 8))
    responses[18:24] = np.nan
    made = session(responses, rate=6.0, shifts=np.arange(8) / 48)
    recording = convert(made, tmp_path / "recording", Conversion(rate=30.0, shortest=30))
    assert recording.unit_ids == tuple(range(8))
    responses[30, 3] = responses[40:45, 6] = np.nan
    masked = convert(made, tmp_path / "masked", Conversion(rate=30.0, shortest=30))
    assert masked.unit_ids == (0, 1, 2, 3, 4, 5, 7), "one sample of neuron 3 is interpolated"
    assert [masked.length(i) for i in range(2)] == [recording.length(i) for i in range(2)]


def test_a_gap_of_most_neurons_ends_a_trial_and_no_neuron_left_is_refused() -> None:
    values = np.ones((5, 100))
    values[0], values[1:4, 40:50], values[4, 70:] = np.nan, np.nan, np.nan
    gaps = frame_gaps(values, None)
    assert np.flatnonzero(~gaps.known).tolist() == list(range(40, 50)) and gaps.rows.tolist() == [0, 4]
    made = session(np.ones((60, 5)), rate=6.0)
    assert masked_in([gaps], made, shortest=30, rate=30.0).tolist() == [0, 4]
    assert gaps.complete(np.array([0, 4])).sum() == 90 and gaps.complete(np.array([0])).sum() == 60
    checkered = np.where(np.arange(5)[:, None] == np.arange(100) % 5, np.nan, 1.0)
    with pytest.raises(
        ValueError, match=r"made: expected neurons that were recorded in all presentations, .* each of 5"
    ):
        masked_in([frame_gaps(checkered, None)], made, shortest=30, rate=30.0)


def test_still_images_without_a_response_count_and_whole_withheld_tiers_are_left_out(tmp_path: Path) -> None:
    path = worlds.write_stills(tmp_path / "mouse", images=30, scale=1)
    tiers = np.load(path / "meta/trials/tiers.npy")
    silent = [int(np.flatnonzero(tiers == tier)[0]) for tier in ("train", "test")]
    for index in silent:
        np.save(path / f"data/responses/{index}.npy", np.zeros(worlds.UNITS))
    for index in range(len(tiers)):
        values = np.load(path / f"data/responses/{index}.npy")
        values[UNIT] = np.nan
        np.save(path / f"data/responses/{index}.npy", values)
    recording = convert(session_of(path), tmp_path / "recording", Conversion(frame_size=(9, 16)))
    assert len(recording.tiers) == (tiers != "final_test").sum() and len(recording.unit_ids) == worlds.UNITS - 1
    assert not recording.trial(silent[0]).responses.any() and recording.has_responses(silent[1])
