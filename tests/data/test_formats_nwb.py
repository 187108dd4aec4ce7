"""Sessions in NWB: units, repeats, gaps and dropped frames, any file by a mapping, links that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from worlds import formats as worlds
from worlds import formats_nwb
from worlds.sessions import SETTINGS, agreement, films, session_of

from recon.cli import main
from recon.data.formats.convert import convert
from recon.data.formats.nwb import NwbMapping
from recon.data.formats.nwb import read as read_nwb
from recon.data.formats.session import Stream
from recon.data.open import open_recording


def test_what_is_known_of_the_units_is_kept(tmp_path: Path) -> None:
    path, _ = formats_nwb.write_neuropixels(tmp_path / "session.nwb")
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    assert recording.areas[:2] == ("VISp", "CA1") and recording.unit_ids[0] == 951000
    path, _ = formats_nwb.write_allen(tmp_path / "allen.nwb")
    assert convert(session_of(path), tmp_path / "allen", SETTINGS).unit_ids[0] == 517400000


def test_repeats_of_a_movie_share_a_tier(tmp_path: Path) -> None:
    path, _ = formats_nwb.write_allen(tmp_path / "allen.nwb")
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    tiers: dict[str, set[str]] = {}
    for content, tier in zip(recording.video_ids, recording.tiers, strict=True):
        tiers.setdefault(content, set()).add(tier)
    assert len(recording.tiers) > len(tiers) and all(len(found) == 1 for found in tiers.values())


def test_a_long_loss_of_the_pupil_is_masked_and_ends_a_trial_if_asked(tmp_path: Path) -> None:
    path, _ = formats_nwb.write_allen(tmp_path / "allen.nwb")
    session = session_of(path)
    whole = convert(session, tmp_path / "filled", replace(SETTINGS, fill=5.0))
    kept = convert(session, tmp_path / "kept", SETTINGS)
    trials = [kept.trial(i) for i in range(len(kept.tiers))]
    assert [trial.movie.shape[1] for trial in trials] == [whole.trial(i).movie.shape[1] for i in range(len(trials))]
    behavior = torch.cat([trial.behavior for trial in trials], 1)
    known = torch.cat([whole.trial(i).behavior for i in range(len(trials))], 1)
    lost = behavior.isnan()
    assert int(lost[0].sum()) >= 40 and lost[2:].all() and not lost[1].any(), "no pupil position in the file"
    assert torch.equal(behavior[~lost], known[~lost])
    cut = convert(session, tmp_path / "cut", replace(SETTINGS, cut_at_gaps=True))
    frames = [sum(recording.trial(i).movie.shape[1] for i in range(len(recording.tiers))) for recording in (whole, cut)]
    assert frames[1] <= frames[0] - 40  # 1.5 s were lost
    assert any("left out" in note for note in cut.made_by["notes"])
    assert not any("left out" in note for note in whole.made_by["notes"])


def test_frames_without_a_time_and_dropped_frames_are_told_and_never_shift(tmp_path: Path) -> None:
    shown = films(60.0)
    path = formats_nwb.write_microns(tmp_path / "scan.nwb", shown)
    with h5py.File(path, "r+") as file:
        clock = file[f"{worlds.VIDEO}/timestamps"]
        clock[100:106] = np.nan  # six triggers are missing
        movie = file[f"{worlds.VIDEO}/data"]
        assert movie.shape[0] == len(clock)
    recording = convert(session_of(path), tmp_path / "recording", SETTINGS)
    notes = " ".join(recording.made_by["notes"])
    assert "6 frames of the movie have no time" in notes and "dropped frames" in notes
    assert agreement(recording) > 0.9


def test_any_nwb_file_opens_with_a_mapping(tmp_path: Path) -> None:
    path = formats_nwb.write_microns(tmp_path / "scan.nwb", films(60.0))
    with h5py.File(path, "r+") as file:
        file.move(worlds.VIDEO, "acquisition/movie")
    with pytest.raises(ValueError, match=r"expected a MICrONS scan or an Allen Neuropixels session.*--mapping"):
        session_of(path)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "responses: [processing/ophys/Fluorescence/RoiResponseSeries1]\n"
        "movie: acquisition/movie\nintervals: [intervals/Clip]\ncontent: condition_hash\nactivity: relative\n"
    )
    where = ["lag=0.1", "frame_size=[9,16]", "trial_frames=90", "shortest=45", "--mapping", str(mapping)]
    assert main(["data", "convert", str(path), str(tmp_path / "recording"), *where]) == 0
    recording = open_recording(tmp_path / "recording")
    assert len(recording.unit_ids) == worlds.UNITS // 2 and recording.trial(0).behavior is None
    with pytest.raises(ValueError, match="mapping: expected responses or units"):
        NwbMapping(movie="m")
    gone = NwbMapping(responses=("processing/nothing*",), movie="acquisition/movie")
    with pytest.raises(ValueError, match="expected response series at processing/nothing"):
        read_nwb(path, gone)


def test_bleaching_is_gone_from_relative_fluorescence(tmp_path: Path) -> None:
    shown = [worlds.film(4, rate=60.0, start=1 + 6 * k, seed=10 + k) for k in range(40)]
    session = session_of(formats_nwb.write_microns(tmp_path / "scan.nwb", shown))
    assert isinstance(session.responses, Stream)
    values = session.responses.values
    early, late = values[50:400], values[1000:1350]
    assert float(early.mean()) == pytest.approx(float(late.mean()), rel=0.15)
    assert np.array_equal(values[120:130], early[70:80])


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    path, _ = formats_nwb.write_allen(tmp_path / "allen.nwb")
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.zeros((worlds.UNITS, 10))
    with h5py.File(path, "r+") as file:
        del file["stimulus/templates/natural_movie_one_image_stack/data"]
        file["stimulus/templates/natural_movie_one_image_stack/data"] = h5py.ExternalLink(str(secret), "data")
    with pytest.raises(ValueError, match="expected data in this file"):
        session_of(path)
    layout = h5py.VirtualLayout((10, 9, 16), "u1")
    with h5py.File(path, "r+") as file:
        del file["stimulus/templates/natural_movie_one_image_stack/data"]
        file.create_virtual_dataset("stimulus/templates/natural_movie_one_image_stack/data", layout)
    with pytest.raises(ValueError, match="expected data in this file"):
        session_of(path)
