"""Import of colour, video files, lists of movies and trials, trimmed lengths and scale; every refusal."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recon import cli
from recon.data.formats.arrays_import import import_arrays
from recon.data.formats.trial_list import ListedTrial
from recon.data.layout import Array
from recon.data.open import open_recording
from recon.data.sensorium import SensoriumRecording

RNG = np.random.default_rng(3)
FRAMES = 240
MOVIE = RNG.integers(0, 256, (FRAMES, 12, 18), dtype=np.uint8)
COUNTS = RNG.poisson(1.0, (9, FRAMES)).astype(np.uint8)
SCALE = {"frame_rate": 30.0, "degrees_per_pixel": 1.5, "trial_frames": 40}
REC601, REC709 = np.array([0.299, 0.587, 0.114]), np.array([0.2126, 0.7152, 0.0722])


def write_video(path: Path, movie: Array, *, rate: int = 30, codec: str = "libx264", **options: Any) -> Path:
    """Write frames `(T,H,W)` or `(T,H,W,3)`, both sides even; `options` are attributes of the stream."""
    colour = movie.ndim == 4
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = movie.shape[1:3]
        stream.pix_fmt = "yuv444p" if codec == "libx264" and colour else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "1"}
        for name, value in options.items():
            setattr(stream, name, value)
        for frame in movie:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24" if colour else "gray")
            container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    return path


def smooth(frames: int = FRAMES, *, seed: int = 0, size: tuple[int, int] = (36, 64)) -> Array:
    """Return a movie of soft colours that a codec keeps, `(T,H,W,3)` uint8; every frame has another brightness."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    t = np.arange(frames)[:, None, None]
    waves = [np.sin(0.11 * (k + 2) * t + 3 * (k + 1) * x + 2 * y + seed) for k in range(3)]
    return (128 + 90 * np.stack(waves, -1)).astype(np.uint8)


def shown(recording: SensoriumRecording) -> Array:
    trials = [recording.trial(i) for i in range(len(recording.tiers))]
    return np.concatenate([np.rint(trial.movie[0].numpy() * 255) for trial in trials])


def responded(recording: SensoriumRecording) -> Array:
    return np.concatenate([recording.trial(i).responses.numpy() for i in range(len(recording.tiers))], 1)


def notes(recording: SensoriumRecording) -> str:
    return " | ".join(recording.made_by["notes"])


@pytest.mark.parametrize(("luma", "weights"), [("rec601", REC601), ("rec709", REC709)])
def test_colour_becomes_grey_by_stated_weights(luma: str, weights: Array, tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (FRAMES, 12, 18, 3), dtype=np.uint8)
    recording = import_arrays(tmp_path / "r", movie=colours, responses=COUNTS, luma=luma, **SCALE)
    np.testing.assert_array_equal(shown(recording), np.rint((colours @ weights).astype(np.float32)))
    assert f"{weights[0]:g} R + {weights[1]:g} G + {weights[2]:g} B" in notes(recording)
    assert recording.made_by["luma"] == luma
    planes = np.moveaxis(colours, -1, 1) / 255.0
    again = import_arrays(tmp_path / "s", movie=planes, axes="tchw", responses=COUNTS, luma=luma, **SCALE)
    np.testing.assert_allclose(shown(again), shown(recording), atol=1)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "mpeg4")])
def test_video_files_are_read_directly(suffix: str, codec: str, tmp_path: Path) -> None:
    colours = smooth()
    path = write_video(
        tmp_path / f"film.{suffix}", colours, codec=codec, **({"bit_rate": 4_000_000} if codec == "mpeg4" else {})
    )
    recording = import_arrays(
        tmp_path / "r", movie=path, responses=COUNTS, frame_size=(18, 32), **SCALE | {"degrees_per_pixel": 0.95}
    )
    expected = (colours @ REC601).reshape(FRAMES, 18, 2, 32, 2).mean((2, 4))
    assert np.abs(shown(recording) - expected).mean() < 3
    assert recording.frame_size == (18, 32) and recording.degrees_per_pixel == pytest.approx(1.9)
    np.testing.assert_array_equal(responded(recording), COUNTS)


def test_degrees_per_pixel_are_those_of_the_source(tmp_path: Path) -> None:
    movie = np.kron(MOVIE, np.ones((1, 2, 2), np.uint8))
    recording = import_arrays(tmp_path / "r", movie=movie, responses=COUNTS, frame_size=(12, 18), **SCALE)
    assert recording.degrees_per_pixel == pytest.approx(3.0)  # 36×54° were shown, and are reported
    assert "1.5 in the source, 3 after resizing; the movie covers 36×54°" in notes(recording)
    assert recording.made_by["degrees_per_source_pixel"] == 1.5


def test_another_aspect_ratio_is_cropped_if_asked(tmp_path: Path) -> None:
    recording = import_arrays(tmp_path / "r", movie=MOVIE, responses=COUNTS, frame_size=(6, 6), crop=True, **SCALE)
    expected = MOVIE[:, :, 3:15].reshape(FRAMES, 6, 2, 6, 2).mean((2, 4))
    np.testing.assert_allclose(shown(recording), expected, atol=0.51)
    assert recording.degrees_per_pixel == pytest.approx(3.0) and "central 12×12 of 12×18" in notes(recording)


@pytest.mark.parametrize("short", ["movie", "responses", "behavior"])
def test_one_frame_is_trimmed_and_said(short: str, tmp_path: Path) -> None:
    arrays = {
        "movie": MOVIE,
        "responses": COUNTS,
        "behavior": RNG.random((2, FRAMES)),
        "pupil_center": np.zeros((2, FRAMES)),
    }
    cut = arrays[short][:-1] if short == "movie" else arrays[short][:, :-1]
    recording = import_arrays(tmp_path / "r", trim=True, **arrays | {short: cut}, **SCALE)
    np.testing.assert_array_equal(responded(recording), COUNTS[:, :-1])
    trimmed = [note for note in recording.made_by["notes"] if "cut off" in note]
    assert len(trimmed) == 3 and not any(note.startswith(short) for note in trimmed)
    assert all("1 frame is cut off the end (240 → 239)" in note for note in trimmed)


def test_several_movies_with_a_list_of_trials(tmp_path: Path) -> None:
    """Also: movies of several lengths, a video file among arrays, trials that begin somewhere in the responses."""
    clips = [MOVIE[:40], MOVIE[40:90], MOVIE[90:150], MOVIE[150:205]]
    for number, clip in enumerate(clips):
        np.save(tmp_path / f"clip{number}.npy", clip)
    order, starts = [2, 0, 1, 3, 0, 2], [10, 80, 130, 190, 260, 310]
    responses = RNG.poisson(1.0, (9, 380))
    lines = [
        f"clip{movie},{start},{tier}"
        for movie, start, tier in zip(
            order, starts, ["train", "test", "train", "validation", "test", "train"], strict=True
        )
    ]
    (tmp_path / "trials.csv").write_text("\n".join(["movie,start,tier", *lines]))
    np.save(tmp_path / "responses.npy", responses.T)
    files = [str(tmp_path / f"clip{number}.npy") for number in range(4)]
    command = ["data", "import", str(tmp_path / "r"), "--movie", *files, "--trials", str(tmp_path / "trials.csv")]
    command += ["--responses", str(tmp_path / "responses.npy"), "--frame-rate", "30", "--degrees-per-pixel", "1.5"]
    assert cli.main(command) == 0
    recording = open_recording(tmp_path / "r")
    assert recording.tiers == ("train", "live_test_main", "train", "oracle", "live_test_main", "train")
    for trial, (movie, start) in enumerate(zip(order, starts, strict=True)):
        np.testing.assert_array_equal(np.rint(recording.trial(trial).movie[0].numpy() * 255), clips[movie])
        window = responses[:, start : start + len(clips[movie])]
        np.testing.assert_array_equal(recording.trial(trial).responses.numpy(), window)
    assert recording.video_ids[0] == recording.video_ids[5]
    rows = [ListedTrial(f"clip{movie}.npy", start) for movie, start in zip(order, starts, strict=True)]
    tiers = [recording.tiers[i] for i in range(6)]
    again = import_arrays(
        tmp_path / "s",
        movie=files,
        responses=responses,
        trials=rows,
        tiers=tiers,
        frame_rate=30.0,
        degrees_per_pixel=1.5,
    )
    assert again.learning_fingerprint() == recording.learning_fingerprint()


def test_trials_of_any_length_in_lists(tmp_path: Path) -> None:
    lengths = [30, 1, 310, 45, 20]
    movies = [RNG.integers(0, 256, (length, 12, 18), dtype=np.uint8) for length in lengths]
    responses = [RNG.poisson(1.0, (length, 9)) + 1 for length in lengths]
    recording = import_arrays(tmp_path / "r", movie=movies, responses=responses, frame_rate=30.0)
    frames = [recording.trial(i).movie.shape[1] for i in range(len(recording.tiers))]
    assert frames == [30, 1, 155, 155, 45, 20]
    np.testing.assert_array_equal(responded(recording), np.concatenate(responses).T)
    assert "1 trials of more than 300 frames are cut evenly: 6 trials in all" in notes(recording)
    assert recording.degrees_per_pixel == 1.45 and "degrees per pixel are unknown: 1.45 is assumed" in notes(recording)
    joined = import_arrays(tmp_path / "s", movie=movies, responses=np.concatenate(responses).T, frame_rate=30.0)
    np.testing.assert_array_equal(responded(joined), responded(recording))


PIECES = MOVIE.reshape(6, 40, 12, 18)
STACKED = COUNTS.reshape(9, 6, 40).swapaxes(0, 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"responses": COUNTS[:, :-1]}, r"got \(9, 239\); .*let trim cut the one frame"),
        ({"responses": COUNTS[:, :-2], "trim": True}, r"got \(9, 238\); .*trim cuts one frame only"),
        ({"movie": MOVIE[:-1], "behavior": np.zeros((2, 238)), "trim": True}, "at most 1 frame, got 239 of movie"),
        ({"movie": np.moveaxis(MOVIE, 0, -1)}, "if the movie's axis of 240 is time, name its axes"),
        ({"movie": np.moveaxis(MOVIE, 0, 1)}, "if the movie's axis of 240 is time, name its axes"),
        ({"movie": MOVIE[:, None].repeat(3, 1)}, r"frames of 3 colours \(tchw\) or trials of 3 frames"),
        ({"movie": MOVIE[..., None].repeat(4, -1)}, "leave out the alpha channel"),
        ({"movie": MOVIE[..., None].repeat(5, -1), "axes": "thwc"}, "expected 1 or 3 colours, got 5"),
        ({"luma": "rec2020"}, "luma: expected one of rec601, rec709, got 'rec2020'"),
        ({"frame_size": (6, 6)}, r"which squashes it; take 4×6, or crop to the central 12×12 pixels"),
        ({"frame_size": (0, 6)}, "at least 1 pixel"),
        ({"degrees_per_pixel": 0.0}, "degrees_per_pixel: expected above 0"),
        ({"frame_rate": -1.0}, "frame_rate: expected above 0"),
        ({"movie": [MOVIE[:120], MOVIE[120:, :6]]}, r"one frame size, got \(12, 18\) \(0\) and \(6, 18\)"),
        ({"movie": []}, "expected at least one, got an empty list"),
        ({"movie": PIECES, "responses": STACKED[:5]}, "expected 6 trials as the movie has"),
        ({"movie": PIECES, "responses": list(STACKED[:5])}, "expected one array, or 6 of two axes"),
        ({"movie": PIECES, "responses": [*STACKED[:5], STACKED[5, :8]]}, "expected the same channels in every trial"),
        ({"movie": PIECES, "responses": STACKED, "train_frames": 100}, "expected one continuous movie, got 6 trials"),
        ({"responses": COUNTS[0]}, r"got shape \(240,\); give a single channel the shape \(1,T\)"),
        ({"responses": np.where(COUNTS > 3, np.nan, COUNTS)}, "every trial, got NaN in some trial for each of 9"),
        ({"responses": np.where(np.arange(FRAMES) == 7, np.nan, COUNTS)}, "got NaN or infinity in trial 0 at frame 7"),
        ({"trials": [0, 1]}, "movie of trial 1: expected 0–0, got 1"),
        ({"movie": PIECES, "responses": STACKED, "tiers": ["train"] * 5}, "expected 6, one for each trial, got 5"),
        ({"movie": PIECES, "responses": STACKED, "tiers": ["trian"] * 6}, r"got 'trian' \(did you mean 'train'\?\)"),
        (
            {"movie": PIECES, "trials": [ListedTrial(i, 40 * i + 1) for i in range(6)]},
            "one axis of at least 241 frames, where the last trial ends, got none",
        ),
        ({"movie": PIECES, "trials": [ListedTrial(0, 0), 1]}, "expected a start for all or none, got 1 of 2"),
        (
            {"movie": PIECES[[0, 0, 1, 2]], "responses": STACKED[:4], "tiers": ["train", "test", "test", "validation"]},
            "leave tiers and train_frames out to split by content",
        ),
        ({"movie": MOVIE[:60], "responses": COUNTS[:, :60], "trial_frames": 60}, "at least 3 trials for training and"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_leaves_nothing(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    arguments = {"movie": MOVIE, "responses": COUNTS} | SCALE | change
    with pytest.raises(ValueError, match=match):
        import_arrays(tmp_path / "r", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("clip,tier\na,train\n", "expected the column movie, and perhaps start and tier, got clip, tier"),
        ("movie,start\n0,-3\n", "line 2: expected a movie, and perhaps a start of 0 or more frames, got '0' and '-3'"),
        ("movie\nfilm\n", r"movie of trial 0: expected one of 0\[0\].*got 'film'.*names 0 of them"),
        ("movie\n", "trials: expected at least one, got none"),
    ],
)
def test_a_list_of_trials_that_is_wrong_names_its_line(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(text)
    with pytest.raises(ValueError, match=match):
        import_arrays(tmp_path / "r", movie=PIECES, responses=STACKED, trials=tmp_path / "trials.csv", **SCALE)


def test_video_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    film = smooth(60)
    write_video(tmp_path / "fast.mp4", film, rate=60)
    write_video(tmp_path / "oblong.mp4", film, sample_aspect_ratio=Fraction(4, 3))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1\nfast.mp4\n")
    whole = write_video(tmp_path / "whole.mkv", film, codec="mpeg4").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    cases = {
        "fast.mp4": r"expected 30 frames per second \(frame_rate\), got a file of 60; set frame_rate to 60",
        "oblong.mp4": "expected square pixels, got 4:3",
        "list.mp4": "expected a video that FFmpeg reads as .mp4",
        "cut.mkv": "responses: expected .* frames as the movie has",
        "none.mp4": "expected a video file, got none",
    }
    for name, match in cases.items():
        with pytest.raises(ValueError, match=match):
            import_arrays(tmp_path / "r", movie=tmp_path / name, responses=COUNTS[:, :60], **SCALE)
    assert not (tmp_path / "r").exists()


def test_the_command_says_what_it_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "film.mp4", smooth())
    np.save(tmp_path / "spikes.npy", COUNTS[:, :-1])
    command = ["data", "import", str(tmp_path / "r"), "--movie", str(tmp_path / "film.mp4")]
    command += ["--responses", str(tmp_path / "spikes.npy"), "--frame-rate", "30", "--degrees-per-pixel", "0.95"]
    command += ["--frame-size", "18", "32", "--trial-frames", "40"]
    assert cli.main(command) == 2
    assert "let trim cut the one frame (trim)" in capsys.readouterr().err and not (tmp_path / "r").exists()
    assert cli.main([*command, "--trim"]) == 0
    said = capsys.readouterr().out
    for part in (
        "0.299 R + 0.587 G + 0.114 B (Rec. 601)",
        "resized from 36×64 to 18×32",
        "covers 34.2×60.8°",
        "240 → 239",
    ):
        assert part in said
    assert cli.main(["data", "check", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().out
    assert "all test clips are shorter than 60 frames (39): the first 50 and the last 8 are not scored" in said
    assert "no captions" in said and "no test clip was shown twice" in said
