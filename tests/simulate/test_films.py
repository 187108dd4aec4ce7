"""Films on the simulated screen."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.layout import content_id
from recon.data.measurement import repeats_of
from recon.data.open import open_recording
from recon.media import write_gif, write_mp4
from recon.simulate import TINY, simulate
from recon.simulate.films import film_clips, read_film


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A 10 Hz film of 20 frames, 36 × 96 pixels: frame k is grey 10·k, the left quarter white."""
    frames = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None] * 10, 36, 1).repeat(96, 2)
    frames[:, :, :16] = 255
    path = tmp_path / "film.gif"
    write_gif(path, frames, frame_rate=10.0)
    return path


def test_a_film_is_cut_to_the_screen_and_shown_at_its_own_speed(film: Path) -> None:
    movie = read_film(film, frame_size=(18, 32))
    assert movie.shape == (60, 18, 32)
    assert np.allclose(movie[::3, 9, 16], np.arange(20) * 10, atol=2)
    assert np.allclose(movie[0, :, 0], 0, atol=2)


def test_clips_do_not_overlap_and_are_named(film: Path) -> None:
    clips = film_clips(film.parent, frames=20, frame_size=(18, 32))
    assert [name for name, _ in clips] == ["film.gif-0", "film.gif-20", "film.gif-40"]
    assert all(video.shape == (20, 18, 32) for _, video in clips)


def test_a_folder_without_films_and_a_broken_film_say_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one film"):
        film_clips(tmp_path, frames=20, frame_size=(18, 32))
    with pytest.raises(ValueError, match="expected a folder"):
        film_clips(tmp_path / "nowhere", frames=20, frame_size=(18, 32))
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match="that FFmpeg reads"):
        read_film(tmp_path / "bad.mp4", frame_size=(18, 32))


def test_a_simulation_shows_films_as_its_test_clips(film: Path, tmp_path: Path) -> None:
    settings = replace(TINY, clip_frames=20, films=film.parent)
    recording = open_recording(simulate(tmp_path / "recording", settings, progress=False))
    tests = recording.trials("live_test_main")
    assert len(tests) == 3 * TINY.repeats
    expected = read_film(film, frame_size=TINY.frame_size)[:20]
    assert recording.video_ids[tests[0]] == content_id(expected)
    assert recording.captions(tests[0]) == ("a film, film.gif-0",)
    assert np.allclose(recording.trial(tests[0]).movie[0].numpy() * 255, expected, atol=1)
    plain = open_recording(simulate(tmp_path / "plain", replace(TINY, clip_frames=20), progress=False))
    assert np.allclose(plain.trial(0).responses.numpy(), recording.trial(0).responses.numpy())


def test_films_of_one_stem_have_ids_of_their_own_and_copies_share_one(tmp_path: Path) -> None:
    frames = (
        np.arange(20, dtype=np.uint8)[:, None, None] * 10 + np.arange(32, dtype=np.uint8).repeat(18).reshape(32, 18).T
    )
    folder = tmp_path / "films"
    write_mp4(folder / "cats.mp4", frames, frame_rate=30.0)
    write_mp4(folder / "mirror.mp4", frames[:, :, ::-1], frame_rate=30.0)
    (folder / "mirror.mp4").rename(folder / "cats.mov")
    settings = replace(TINY, clip_frames=20, films=folder)
    recording = open_recording(simulate(tmp_path / "recording", settings, progress=False))
    tests = recording.trials("live_test_main")
    assert len({recording.video_ids[index] for index in tests}) == 2
    for index in tests:
        alike = repeats_of(recording, index)
        assert len(alike) == TINY.repeats
        assert all(np.array_equal(recording.frames(index), recording.frames(other)) for other in alike)
    assert {recording.captions(index)[0] for index in tests} == {"a film, cats.mov-0", "a film, cats.mp4-0"}
    shutil.copy(folder / "cats.mp4", folder / "same.mp4")
    copied = open_recording(simulate(tmp_path / "copied", settings, progress=False))
    assert len({copied.video_ids[index] for index in copied.trials("live_test_main")}) == 2
