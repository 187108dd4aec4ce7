"""Display metadata of video files: they are read as a player shows them, or refused with the reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from recon.data.formats.arrays_import import import_arrays
from recon.data.layout import Array
from recon.data.video import VideoReader, decoded, open_video
from recon.errors import InputError
from recon.simulate.films import film_clips, read_film

RAMP = np.linspace(0, 252, 64).astype(np.uint8)
ACROSS, DOWN = np.tile(RAMP, (64, 1)), np.tile(RAMP[:, None], (1, 64))


def write_film(
    path: Path,
    frames: Array,
    *,
    rate: int = 30,
    begin: float = 0.0,
    times: Sequence[float] = (),
    turn: tuple[float, bool] | None = None,
    source: str = "gray",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    **options: Any,
) -> Path:
    """Write frames with PyAV: `begin` and `times` in seconds, `turn` (degrees, mirrored), attributes of the stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.options = {"crf": "1"} if codec == "libx264" else {}
        tick = Fraction(1, 1000) if times else Fraction(1, rate)
        stream.codec_context.time_base = tick
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format=source).reformat(format=pix_fmt)
            picture.time_base = tick
            picture.pts = round((begin + (times[number] if times else number / rate)) / tick)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def brightness(film: Array) -> Array:
    means: Array = film.mean((1, 2))
    return means


def steps(count: int) -> Array:
    """Frames of one brightness each, from dark to bright."""
    return np.linspace(20, 230, count).astype(np.uint8)[:, None, None].repeat(18, 1).repeat(32, 2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_oblong_pixels_are_stretched(suffix: str, tmp_path: Path) -> None:
    """Pixels twice as wide as high: 64×64 of them fill a screen of 1:2, which no crop is needed for."""
    frames = DOWN[None].repeat(3, 0)
    path = write_film(tmp_path / f"film.{suffix}", frames, sample_aspect_ratio=Fraction(2))
    film = read_film(path, frame_size=(32, 64))
    expected = DOWN.reshape(32, 2, 64).mean(1)
    assert np.abs(film[0] - expected).max() < 4
    with pytest.raises(InputError, match="expected square pixels, got 2:1"):
        open_video(path)


@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (90.0, False, np.rot90(ACROSS, 1)),
        (-90.0, False, np.rot90(ACROSS, -1)),
        (180.0, False, ACROSS[::-1, ::-1]),
        (0.0, True, ACROSS[:, ::-1]),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_turned_and_mirrored_films_are_shown_upright(
    degrees: float, mirrored: bool, expected: Array, suffix: str, tmp_path: Path
) -> None:
    path = write_film(tmp_path / f"film.{suffix}", ACROSS[None].repeat(3, 0), turn=(degrees, mirrored))
    assert np.abs(next(decoded(path)).picture.astype(float) - expected).max() < 4
    assert np.abs(read_film(path, frame_size=(64, 64))[0] - expected).max() < 4
    file = open_video(path)
    assert file.size == (64, 64) and "turned as its display matrix says" in file.remarks[0]
    assert np.abs(next(VideoReader(file).read(0, 1))[..., 0].astype(float) - expected).max() < 6


def test_a_portrait_film_has_the_size_that_is_shown(tmp_path: Path) -> None:
    """Also: oblong pixels of a turned film are as high as they were wide."""
    path = write_film(tmp_path / "phone.mp4", ACROSS[None, :32].repeat(3, 0), turn=(-90.0, False))
    assert open_video(path).size == (64, 32)
    path = write_film(
        tmp_path / "wide.mp4", ACROSS[None].repeat(3, 0), turn=(-90.0, False), sample_aspect_ratio=Fraction(2)
    )
    assert next(decoded(path)).pixel == Fraction(1, 2)


def test_a_film_turned_by_other_angles_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", ACROSS[None].repeat(3, 0), turn=(30.0, False))
    with pytest.raises(InputError, match="expected frames turned by quarters, got"):
        open_video(path)


@pytest.mark.parametrize("begin", [0.0, 59.5, 3600.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_film_begins_with_its_first_frame(begin: float, suffix: str, tmp_path: Path) -> None:
    frames = steps(60)
    path = write_film(tmp_path / f"film.{suffix}", frames, begin=begin)
    film = read_film(path, frame_size=(18, 32))
    assert film.shape == (60, 18, 32)
    np.testing.assert_allclose(brightness(film), brightness(frames), atol=2)
    assert open_video(path).frames == 60 and open_video(path).rate == pytest.approx(30.0)


def test_frames_cut_by_an_edit_list_are_not_shown(tmp_path: Path) -> None:
    frames, path = steps(40), tmp_path / "film.mp4"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled", "use_editlist": "1"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 18, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        pictures = [av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuv420p") for frame in frames]
        for picture in [*pictures, None]:
            for packet in stream.encode(picture):
                packet.pts, packet.dts = packet.pts - 10, packet.dts - 10
                container.mux(packet)
    np.testing.assert_allclose(brightness(read_film(path, frame_size=(18, 32))), brightness(frames[10:]), atol=3)
    file = open_video(path)
    assert len(list(VideoReader(file).read(0, file.frames))) == file.frames == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_last_frame_stays_for_its_duration(suffix: str, tmp_path: Path) -> None:
    frames = steps(8)
    codec = "mpeg4" if suffix == "avi" else "libx264"
    path = write_film(tmp_path / f"film.{suffix}", frames, rate=2, codec=codec)
    film = read_film(path, frame_size=(18, 32))
    assert len(film) == 120
    np.testing.assert_allclose(brightness(film), brightness(frames).repeat(15), atol=6)
    assert len(film_clips(tmp_path, frames=120, frame_size=(18, 32))) == 1


def test_a_gif_keeps_the_delay_of_every_frame(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in steps(4)]
    pictures[0].save(
        tmp_path / "film.gif", save_all=True, append_images=pictures[1:], duration=[100, 200, 100, 600], loop=0
    )
    film = read_film(tmp_path / "film.gif", frame_size=(18, 32))
    np.testing.assert_allclose(brightness(film), np.array([20, 90, 160, 230]).repeat([3, 6, 3, 18]), atol=2)
    with pytest.raises(InputError, match=r"expected a constant frame rate, got frames shown for 0\.1–0\.2 s"):
        open_video(tmp_path / "film.gif")


def test_a_variable_rate_is_followed_by_films_and_refused_as_a_stimulus(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.3, 0.4, 1.0]
    path = write_film(tmp_path / "film.mkv", steps(5), times=times)
    film = read_film(path, frame_size=(18, 32))
    shown = np.searchsorted(times, (np.arange(len(film)) + 0.5) / 30, side="right") - 1
    np.testing.assert_allclose(brightness(film), brightness(steps(5))[shown], atol=3)
    with pytest.raises(InputError, match="expected a constant frame rate"):
        open_video(path)


def test_rounded_times_neither_skip_nor_repeat_a_frame(tmp_path: Path) -> None:
    """Matroska rounds to 1 ms: the third frame comes at 67 ms, after 2/30 s."""
    frames = steps(40)
    film = read_film(write_film(tmp_path / "film.mkv", frames), frame_size=(18, 32))
    np.testing.assert_allclose(brightness(film), brightness(frames), atol=2)


@pytest.mark.parametrize("reach", ["limited", "full"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray"])
def test_both_ranges_of_a_codec_span_black_to_white(reach: str, pix_fmt: str, tmp_path: Path) -> None:
    """The luma of limited range is 16–235: read as the grey levels it stands for, also in ten bits."""
    levels = np.array([0.0, 64, 128, 255])[:, None, None].repeat(18, 1).repeat(32, 2)
    luma = levels if reach == "full" or pix_fmt == "gray" else np.rint(16 + levels * 219 / 255)
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if pix_fmt == "gray" else "libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 18, 32, pix_fmt
        stream.options = {} if pix_fmt == "gray" else {"crf": "0" if pix_fmt == "yuv420p" else "1"}
        stream.codec_context.color_range = 2 if reach == "full" else 1
        for number, frame in enumerate(luma):
            picture = av.VideoFrame(32, 18, pix_fmt)
            picture.color_range = stream.codec_context.color_range
            wide = "10" in pix_fmt
            values = [frame * 4 if wide else frame, *[np.full((9, 16), 512 if wide else 128)] * 2]
            for plane, value in zip(picture.planes, values, strict=False):
                padded = np.zeros((plane.height, plane.line_size // (2 if wide else 1)), "<u2" if wide else np.uint8)
                padded[:, : value.shape[1]] = value
                plane.update(padded.tobytes())
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    for pixels in ("gray", "rgb24"):
        found = [one.picture.mean() for one in decoded(path, pixels=pixels)]
        np.testing.assert_allclose(found, [0, 64, 128, 255], atol=2)


def test_odd_sizes_keep_every_pixel(tmp_path: Path) -> None:
    odd = DOWN[None, :33, :35].repeat(3, 0)
    path = write_film(tmp_path / "film.mkv", odd, codec="ffv1", pix_fmt="gray")
    file = open_video(path)
    assert file.size == (33, 35) and not file.colour
    np.testing.assert_array_equal(next(VideoReader(file).read(0, 1)), odd[0])


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    clear = np.full((3, 16, 16, 4), 200, np.uint8)
    clear[..., 3] = 255
    whole = write_film(tmp_path / "solid.mov", clear, source="rgba", codec="png", pix_fmt="rgba")
    assert next(decoded(whole)).picture.mean() == pytest.approx(200, abs=1)
    clear[1:, :4, :, 3] = 128
    path = write_film(tmp_path / "film.mov", clear, source="rgba", codec="png", pix_fmt="rgba")
    with pytest.raises(InputError, match=r"expected opaque frames, got transparent pixels at 0\.0333 s"):
        read_film(path, frame_size=(16, 16))


def test_interlaced_frames_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.options = {"flags": "+ildct+ilme", "field_order": "tt"}
        for frame in steps(240):
            whole = np.kron(frame[:16], np.ones((2, 2), np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(whole, format="gray").reformat(format="yuv420p")))
        container.mux(stream.encode())
    with caplog.at_level(logging.WARNING):
        read_film(path, frame_size=(16, 32))
    assert "interlaced" in caplog.text
    recording = import_arrays(tmp_path / "r", movie=path, responses=np.ones((2, 240)), frame_rate=30.0, trial_frames=40)
    assert any(note.startswith("film.mkv: interlaced") for note in recording.made_by["notes"])
