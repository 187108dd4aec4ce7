"""Film strips, sprite sheets and movie files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.media import (
    encode_gif,
    encode_png,
    film_strip,
    side_by_side,
    spread_frames,
    sprite_sheet,
    to_uint8,
    upscale,
    write_gif,
    write_mp4,
    write_png,
)


@pytest.fixture
def movie() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 5, 9), dtype=np.uint8)


def test_grey_values_round_trip_and_unknown_values_stay_in_range() -> None:
    grey = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(grey / np.float32(255)), grey)
    assert to_uint8([np.nan, -1.0, np.inf]).tolist() == [0, 0, 255]


def test_upscaling_repeats_pixels(movie: np.ndarray) -> None:
    large = upscale(movie, 3)
    assert large.shape == (7, 15, 27)
    assert all(np.array_equal(large[:, i::3, j::3], movie) for i in range(3) for j in range(3))
    with pytest.raises(ValueError, match="at least 1"):
        upscale(movie, 0)


@pytest.mark.parametrize(("below", "shape"), [(False, (7, 5, 20)), (True, (7, 12, 9))])
def test_movies_stand_beside_or_below_each_other(movie: np.ndarray, below: bool, shape: tuple[int, ...]) -> None:
    both = side_by_side([movie, 255 - movie], gap=2, below=below)
    assert both.shape == shape
    assert np.array_equal(both[:, :5, :9], movie)
    assert np.array_equal(both[:, -5:, -9:], 255 - movie)
    with pytest.raises(ValueError, match="one shape"):
        side_by_side([movie, movie[1:]])


def test_a_film_strip_has_a_row_per_movie_and_a_column_per_frame(movie: np.ndarray) -> None:
    strip = film_strip([movie, 255 - movie], frames=[1, 4, 6], scale=1, gap=1)
    assert strip.shape == (11, 29)
    assert np.array_equal(strip[:5, 10:19], movie[4])
    assert np.array_equal(strip[6:, 20:], 255 - movie[6])


def test_labels_of_a_film_strip_stand_in_a_margin(movie: np.ndarray) -> None:
    plain = film_strip([movie], frames=[0], scale=4)
    labelled = film_strip([movie], frames=[0], scale=4, labels=["true movie"])
    assert np.array_equal(labelled[:, -plain.shape[1] :], plain)
    assert labelled[:, : -plain.shape[1]].min() < 100


@pytest.mark.parametrize(("frames", "labels"), [([7], ()), ([], ()), ([0], ("one", "two"))])
def test_bad_film_strips_say_what_was_expected(movie: np.ndarray, frames: list[int], labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        film_strip([movie], frames=frames, labels=labels)


def test_spread_frames_stay_inside_the_scored_part() -> None:
    frames = spread_frames(100, count=8, first=50, end=92)
    assert len(frames) == 8
    assert min(frames) >= 50
    assert max(frames) < 92
    assert spread_frames(3, count=8) == [0, 1, 2]


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_every_frame_is_found_in_the_sprite_sheet(movie: np.ndarray, columns: int) -> None:
    sheet = sprite_sheet(movie, columns=columns)
    for index, frame in enumerate(movie):
        row, column = divmod(index, columns)
        assert np.array_equal(sheet[row * 5 : row * 5 + 5, column * 9 : column * 9 + 9], frame)


def test_png_keeps_every_grey_value(movie: np.ndarray, tmp_path: Path) -> None:
    with Image.open(BytesIO(encode_png(movie[0]))) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), movie[0])
    with Image.open(write_png(tmp_path / "a.png", movie[1])) as image:
        assert np.array_equal(np.asarray(image), movie[1])


@pytest.mark.parametrize("frame_rate", [8.0, 30.0, 60.0])
def test_a_gif_plays_at_the_frame_rate_and_keeps_its_frames(frame_rate: float) -> None:
    movie = np.random.default_rng(0).integers(0, 256, (60, 5, 9), dtype=np.uint8)
    with Image.open(BytesIO(encode_gif(movie, frame_rate=frame_rate))) as image:
        seconds = 0.0
        for index in range(image.n_frames):
            image.seek(index)
            seconds += image.info["duration"] / 1000
        assert image.info["loop"] == 0
        last = (image.n_frames - 1) * (2 if frame_rate > 50 else 1)
        assert np.array_equal(np.asarray(image.convert("L")), movie[last])
    assert seconds == pytest.approx(60 / frame_rate, abs=0.02)


def test_mp4_has_the_frames_and_the_rate(tmp_path: Path) -> None:
    import av

    ramp = np.linspace(0, 255, 33 * 35, dtype=np.uint8).reshape(1, 33, 35).repeat(12, 0)
    path = write_mp4(tmp_path / "a.mp4", ramp, frame_rate=30.0)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(30.0)
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(frames) == 12
    assert frames[0].shape == (34, 36)
    assert np.abs(frames[5][:33, :35].astype(float) - ramp[5]).mean() < 6


def test_write_gif_returns_its_path(movie: np.ndarray, tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif", movie, frame_rate=30.0)
    assert path.read_bytes()[:6] == b"GIF89a"
