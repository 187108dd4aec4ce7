"""Sessions without pupil or running, for the session or for a trial: they open, and say which stream is missing."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.sessions import SETTINGS, films, session_of

from recon.data.formats.arrays_import import import_arrays
from recon.data.formats.convert import convert


def test_an_eye_tracker_without_samples_is_an_absent_stream(tmp_path: Path) -> None:
    """As in Allen sessions in which eye tracking failed: the series are there, and empty or NaN throughout."""
    path, _ = formats_nwb.write_allen(tmp_path / "allen.nwb")
    eye = "processing/brain_observatory_pipeline/EyeTracking"
    with h5py.File(path, "r+") as file:
        count = len(file[f"{eye}/pupil_size/data"])
        file[f"{eye}/pupil_size/data"][:] = np.nan
        file[f"{eye}/pupil_location/data"] = np.zeros((0, 2))
        file[f"{eye}/pupil_location/timestamps"] = np.zeros(0)
    session = session_of(path)
    assert set(session.behavior) == {"running_speed"} and count > 0
    recording = convert(session, tmp_path / "recording", SETTINGS)
    behavior = recording.trial(0).behavior
    assert behavior is not None and behavior[[0, 2, 3]].isnan().all() and not behavior[1].isnan().any()
    assert "pupil_dilation, pupil_x, pupil_y" in recording.made_by["decided"]["missing"]
    assert not (recording.path / "data/pupil_center").exists()


def test_a_treadmill_that_was_not_sampled_is_an_absent_stream(tmp_path: Path) -> None:
    path = worlds.write_experanto(tmp_path / "mouse", films(30.0))
    meta = (path / "treadmill/meta.yml").read_text()
    lines = [line if not line.startswith("n_timestamps") else "n_timestamps: 0" for line in meta.splitlines()]
    (path / "treadmill/meta.yml").write_text("\n".join(lines))
    session = session_of(path)
    assert "running_speed" not in session.behavior and "pupil_dilation" in session.behavior
    assert "treadmill: no samples; left out" in session.notes


def test_a_trial_without_behavior_stays_whole(tmp_path: Path) -> None:
    path = worlds.write_twin(tmp_path / "twin", films(30.0))
    (path / "training_data/modulations/trial1.npy").unlink()
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    trials = [recording.trial(index) for index in range(len(recording.tiers))]
    without = [trial.index for trial in trials if trial.behavior is None]
    whole = convert(session_of(worlds.write_twin(tmp_path / "all", films(30.0))), tmp_path / "whole", SETTINGS)
    assert without and [trial.movie.shape for trial in trials] == [whole.trial(t.index).movie.shape for t in trials]
    assert all(not trial.behavior[:2].isnan().any() for trial in trials if trial.behavior is not None)


@pytest.mark.parametrize(("given", "absent"), [("behavior", slice(2, 4)), ("pupil_center", slice(0, 2))])
def test_half_of_the_behavior_is_enough_and_may_have_gaps(given: str, absent: slice, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    movie, counts = rng.integers(0, 256, (120, 9, 16), dtype=np.uint8), rng.poisson(1.0, (5, 120))
    about = {"movie": movie, "responses": counts, "frame_rate": 30.0, "trial_frames": 40}
    recorded = np.ones((2, 120))
    recorded[0, 5:12] = np.nan
    recording = import_arrays(tmp_path / "r", **about, **{given: recorded})
    behavior = recording.trial(0).behavior
    assert behavior is not None and behavior[absent].isnan().all() and behavior.nansum() == 2 * 40 - 7
    assert "not recorded, unknown (NaN) in all frames" in " ".join(recording.made_by["notes"])
    assert ("pupil centre" if given == "behavior" else "running speed") in recording.made_by["decided"]["missing"]
    with pytest.raises(ValueError, match=f"{given}: expected finite values"):
        import_arrays(tmp_path / "s", **about, **{given: np.full((2, 120), np.inf)})
