"""Scenes, noise, gratings and flashes of Allen sessions become trials at their size in degrees, or are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from worlds import stimuli as worlds
from worlds.sessions import session_of

from recon.data.formats.allen_screen import PIXEL, SCREEN
from recon.data.formats.convert import Conversion, convert
from recon.data.formats.session import Session, ShownStimulus, Stream
from recon.data.sensorium import SensoriumRecording

SHORT = Conversion(shortest=30, validation=0.0, test=0.0)
FLASH = 7
"""Imaging frames of a flash; the next begins one frame later."""
FLASHES_AND_MOVIES = (((0.0, 3.0, 6.0, 9.0), False), ((12.0, 15.0, 18.0, 21.0), True))
"""First seconds of presentations, and whether they are paced."""
GRATINGS = ("orientation", "spatial_frequency", "phase")


def spans(count: int, *, first: int = 30, length: int = FLASH, step: int = FLASH + 1) -> worlds.Array:
    starts = first + step * np.arange(float(count))
    return np.stack([starts, starts + length], 1)


def movies(recording: SensoriumRecording) -> worlds.Array:
    """Return the grey levels (T,H,W) of all trials, one after the other."""
    trials = [recording.trial(index).movie[0].numpy() for index in range(len(recording.tiers))]
    return np.concatenate(trials) * 255


def test_natural_scenes_are_shown_at_their_times(tmp_path: Path) -> None:
    shown = np.random.default_rng(1).integers(-1, 4, 25)
    order = np.arange(25)
    order[[4, 5]] = 5, 4
    scenes = {"data": shown[order], "spans": spans(25)[order], "template": worlds.levels(4, (918, 1174), step=60)}
    path = worlds.write_two_photon(tmp_path / "scenes.nwb", {"natural_scenes": scenes}, seconds=12)
    session = session_of(path)
    assert len(session.shown) == 1 and session.signal == "calcium"
    recording = convert(session, tmp_path / "recording", SHORT)
    assert recording.frame_size == (36, 46)
    assert recording.degrees_per_pixel == pytest.approx(918 * PIXEL / 36, rel=0.01)
    video = movies(recording)
    expected = np.where(shown < 0, 127, 60 * shown)
    assert video[np.arange(25) * 8 + 3].mean((1, 2)) == pytest.approx(expected, abs=0.6)
    # ΔF/F is the time in this session, so that the responses say when each frame was on the screen.
    responses = np.concatenate([recording.trial(index).responses[0] for index in range(len(recording.tiers))])
    assert responses == pytest.approx(1 + np.arange(len(responses)) / 30, abs=1e-4)
    assert not any("dropped" in note for note in recording.made_by["notes"])


def test_static_gratings_are_rendered_and_drifting_ones_without_phase_are_named(tmp_path: Path) -> None:
    nan = np.nan
    rows = [(0.0, 0.04, 0.0), (0.0, 0.04, 0.5), (nan, nan, nan), (90.0, 0.08, 0.25)] * 3
    drifting = [(2.0, 45.0, 0.0), (nan, nan, 1.0)] * 2
    tables = {
        "static_gratings": {"data": rows, "spans": spans(12), "features": GRATINGS},
        "drifting_gratings": {
            "data": drifting,
            "spans": spans(4, first=400, length=60, step=90),
            "features": ("temporal_frequency", "orientation", "blank_sweep"),
        },
        "spontaneous": {"data": [1, -1], "spans": [[300, 380], [300, 380]]},
    }
    session = session_of(worlds.write_two_photon(tmp_path / "gratings.nwb", tables, seconds=30))
    assert session.decided["left out"] == (
        "drifting_gratings: 4 presentations, no spatial frequency in cycles per degree in the file, "
        "no start phase in cycles in the file"
    )
    assert "spherical warp" in session.decided["geometry"] and "AllenSDK" in session.decided["gratings"]
    assert any("no contrast; the published 80%" in note for note in session.notes)
    assert session.decided["tiers"].endswith("so that none is unseen")
    recording = convert(session, tmp_path / "recording", SHORT)
    video = movies(recording)[3::8][:12] - 127
    assert recording.made_by["decided"]["left out"] == session.decided["left out"]
    across = SCREEN[1] / 46 * (np.arange(46) - 22.5)
    bars = 0.8 * 127 * np.sinc(0.04 * SCREEN[1] / 46) * np.cos(2 * np.pi * 0.04 * across)
    for place in range(0, 12, 4):
        assert video[place].mean(0) == pytest.approx(bars, abs=1.0) and np.ptp(video[place], axis=0).max() < 1
        assert video[place + 1] == pytest.approx(-video[place], abs=1.1) and np.abs(video[place + 2]).max() == 0
        assert np.ptp(video[place + 3], axis=1).max() < 1 < np.ptp(video[place + 3])


def test_sparse_noise_and_movies_share_a_screen(tmp_path: Path) -> None:
    noise = np.full((5, 8, 14), 127, dtype=np.uint8)
    noise[np.arange(5), 3, 4 + np.arange(5)] = 255
    template = np.full((60, 304, 608), 50, dtype=np.uint8)
    template[:, :, :304] = 200
    tables = {
        "locally_sparse_noise_8deg": {"data": np.arange(15) % 5, "spans": spans(15), "template": noise},
        "natural_movie_one": {
            "data": np.tile(np.arange(60), 2),
            "spans": spans(120, first=300, length=1, step=1),
            "template": template,
        },
        "natural_movie_shuffled": {"data": np.arange(60), "spans": spans(60, first=450, length=1, step=1)},
    }
    session = session_of(worlds.write_two_photon(tmp_path / "both.nwb", tables, seconds=20))
    assert session.decided["left out"] == "natural_movie_shuffled: 60 presentations, no template in the file"
    assert [len(shown.onsets) for shown in session.shown] == [15, 60, 60]
    assert session.decided["tiers"].startswith("flashed stimuli are for training, since")
    recording = convert(session, tmp_path / "recording", SHORT)
    first, movie = recording.trial(0).movie[0].numpy() * 255, recording.trial(1).movie[0].numpy() * 255
    spot = first[3] - 127  # a white square of 9.3° left of the centre and above it
    assert spot.sum() / 128 * recording.degrees_per_pixel**2 == pytest.approx((90 * PIXEL) ** 2, rel=0.02)
    rows, columns = np.nonzero(spot > 64)
    degrees = recording.degrees_per_pixel
    assert (rows.mean() - 17.5) * degrees == pytest.approx(-0.5 * 90 * PIXEL, abs=1.5)
    assert (columns.mean() - 22.5) * degrees == pytest.approx(-2.5 * 90 * PIXEL, abs=1.5)
    assert np.all(movie[:, :, :23] == pytest.approx(200, abs=0.6)) and np.all(movie[:, :, 23:] < 51)


def test_neuropixels_tables_of_texts_are_rendered_or_named(tmp_path: Path) -> None:
    def times(first: float, count: int, step: float, length: float) -> dict[str, worlds.Array]:
        starts = first + step * np.arange(float(count))
        return {"start_time": starts, "stop_time": starts + length}

    full = {"size": ["[250.0, 250.0]"] * 8, "contrast": [0.8] * 8, "units": ["deg"] * 8}
    tables = {
        "static_gratings": times(1, 8, 0.25, 0.25)
        | {"orientation": [0.0, np.nan] * 4, "spatial_frequency": ["0.04", "null"] * 4, "phase": ["0.5", "null"] * 4}
        | full,
        "drifting_gratings": times(10, 8, 3, 2)
        | {"orientation": [0.0] * 8, "spatial_frequency": ["0.04"] * 8, "temporal_frequency": [1.0] * 8}
        | {"phase": ["[0.0, 0.0]"] * 8}
        | full,
        "drifting_gratings_75_repeats": times(40, 2, 3, 2)
        | {"orientation": [0.0] * 2, "spatial_frequency": ["0.04"] * 2, "temporal_frequency": [2.0] * 2}
        | {"phase": ["[5308.98333333, 5308.98333333]"] * 2, "contrast": [0.8] * 2},
        "gabors": times(50, 4, 0.25, 0.25)
        | {"orientation": [0.0] * 4, "spatial_frequency": ["0.08"] * 4, "phase": ["0.0"] * 4}
        | {"size": ["[20.0, 20.0]"] * 4, "x_position": [10.0] * 4, "y_position": [0.0] * 4, "mask": ["gauss"] * 4},
        "flashes": times(60, 4, 2, 0.25)
        | {"color": ["-1.0", "1.0"] * 2, "contrast": [0.8] * 4, "orientation": [0.0] * 4},
        "dot_motion": times(70, 3, 1, 1) | {"Speed": [0.001] * 3},
        "natural_scenes": times(80, 6, 0.25, 0.25) | {"frame": [0.0, 1.0, -1.0] * 2},
        "spontaneous": times(90, 1, 1, 1),
    }
    session = session_of(worlds.write_units(tmp_path / "npx.nwb", tables, seconds=95))
    assert session.decided["left out"].split("; ") == [
        "dot_motion: 3 presentations, not described by the file well enough to be rendered",
        "drifting_gratings_75_repeats: 2 presentations, 2 with no start phase in cycles of -1 to 1",
        "gabors: 4 presentations, patches with gauss mask are not rendered",
        "natural_scenes: 6 presentations, no template in the file",
    ]
    recording = convert(session, tmp_path / "recording", SHORT)
    trials = [recording.trial(index).movie[0].numpy() * 255 - 127 for index in range(len(recording.tiers))]
    static, drifting, flashes = trials[0], np.concatenate(trials[1:4]), trials[4]
    assert static.shape[0] == 60 and np.abs(static[10]).max() == 0 and static[3, 18, 23] < -60
    assert drifting.shape[0] == 23 * 30  # eight of two seconds, grey for one between them
    assert np.abs(drifting[75]).max() == 0
    middle = drifting[:, 18, 22:24].mean(1)
    lit = 0.8 * 127 * np.cos(2 * np.pi * (np.arange(60) + 0.5) / 30)
    assert middle[:60] == pytest.approx(lit, abs=12) and middle[90:150] == pytest.approx(middle[:60], abs=1)
    # Bars move to the left: a point shows three frames later what its right neighbour (2.6°, 25° / s) shows now.
    assert np.corrcoef(drifting[3:30, 18, 23], drifting[:27, 18, 24])[0, 1] > 0.99
    assert flashes[3].mean() == pytest.approx(-0.8 * 127, abs=0.6) and flashes[63].mean() == pytest.approx(101.6, abs=1)
    assert np.abs(flashes[20:58]).max() == 0


def test_a_session_without_anything_to_render_says_what_is_missing(tmp_path: Path) -> None:
    table = {"data": [[1.0, 0.0]] * 4, "spans": spans(4), "features": ("temporal_frequency", "orientation")}
    path = worlds.write_two_photon(tmp_path / "drift.nwb", {"drifting_gratings": table}, seconds=5)
    with pytest.raises(ValueError, match="got drifting_gratings: 4 presentations, no spatial frequency"):
        session_of(path)


def test_templates_of_another_size_fill_the_screen_alone(tmp_path: Path) -> None:
    tables = {
        "natural_movie_one": {
            "data": np.arange(60),
            "spans": spans(60, length=1, step=1),
            "template": worlds.levels(60, (9, 16), step=3),
        },
        "static_gratings": {"data": [[0.0, 0.04, 0.0]] * 8, "spans": spans(8, first=200), "features": GRATINGS},
    }
    session = session_of(worlds.write_two_photon(tmp_path / "other.nwb", tables, seconds=12))
    assert "static_gratings: 8 presentations, the size of the screen" in session.decided["left out"]
    assert convert(session, tmp_path / "recording", SHORT).frame_size == (9, 16)


def test_flashes_are_held_out_only_if_there_are_no_movies(tmp_path: Path) -> None:
    def shown(start: float, *, paced: bool) -> ShownStimulus:
        frames = worlds.noise(60, (6, 8), seed=int(start))
        onsets = start + np.arange(60) / 30
        return ShownStimulus(onsets, float(onsets[-1]) + 1 / 30, lambda numbers: frames[numbers], paced=paced)

    times = np.arange(900) / 30
    responses = Stream(times, np.ones((900, 2)))
    flashes, movies = ([shown(start, paced=paced) for start in first] for first, paced in FLASHES_AND_MOVIES)
    settings = Conversion(validation=0.3, test=0.3)
    both = convert(Session("both", range(2), responses, flashes + movies), tmp_path / "both", settings)
    assert set(both.tiers[:4]) == {"train"} and {"oracle", "live_test_main"} <= set(both.tiers[4:])
    few = convert(Session("few", range(2), responses, flashes + movies[:2]), tmp_path / "few", settings)
    assert few.tiers == ("train",) * 4 + ("oracle", "live_test_main")
    one = convert(Session("one", range(2), responses, flashes + movies[:1]), tmp_path / "one", settings)
    assert set(one.tiers) == {"train", "oracle", "live_test_main"}
    alone = convert(Session("alone", range(2), responses, flashes), tmp_path / "alone", settings)
    assert set(alone.tiers) == {"train", "oracle", "live_test_main"}


def test_shuffled_and_repeated_movies_have_their_own_template(tmp_path: Path) -> None:
    starts = 1 + np.arange(60) / 30
    names = ("natural_movie_one_more_repeats", "natural_movie_one_shuffled", "natural_movie_three_shuffled")
    tables = {
        name: {"start_time": starts + 3 * place, "stop_time": starts + 3 * place + 1 / 30, "frame": np.arange(60.0)}
        for place, name in enumerate(names)
    }
    plain, shuffled = worlds.noise(60, (9, 16)), worlds.noise(60, (9, 16), seed=1)
    templates = {"natural_movie_one_image_stack": plain, "natural_movie_one_shuffled_image_stack": shuffled}
    session = session_of(worlds.write_units(tmp_path / "npx.nwb", tables, seconds=12, templates=templates))
    assert [shown.content for shown in session.shown] == list(names[:2])
    for shown, frames in zip(session.shown, (plain, shuffled), strict=True):
        assert np.array_equal(shown.read(np.arange(60)), frames)
    assert session.decided["left out"] == f"{names[2]}: 60 presentations, no template in the file"
