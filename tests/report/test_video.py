"""The video of a run, and the movies embedded in its page."""

from __future__ import annotations

from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from worlds.finished_run import make_run

from recon import cli
from recon.errors import InputError
from recon.report.movies import embed, mosaic, tiling
from recon.report.panels import MARGIN, panels_for
from recon.report.video import write_video


def frames_of(path: Path) -> tuple[str, str, float, np.ndarray]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)])
        return stream.codec_context.name, str(stream.pix_fmt), float(stream.average_rate), frames


def test_the_command_writes_the_true_movie_above_the_reconstructions(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demo.mp4"
    assert cli.main(["report", str(run), "--video", str(path), "--seconds", "1", "--methods", "ridge", "mean"]) == 0
    assert "1.0 s, " in capsys.readouterr().out
    codec, pixels, rate, frames = frames_of(path)
    assert (codec, pixels, rate, len(frames)) == ("h264", "yuv420p", 30.0, 30)
    layout = panels_for(2, 12, 20)
    top, left = layout.corner(0)
    with h5py.File(run / "clips.h5") as file:
        truths = [file[trial]["truth"][:] for trial in file]
    height, width = 12 * layout.scale, 20 * layout.scale
    shown = frames[0, top : top + height, left : left + width].reshape(12, layout.scale, 20, layout.scale).mean((1, 3))
    assert min(np.abs(shown - movie).mean() for truth in truths for movie in truth) < 6
    assert layout.corner(1)[0] > top + height
    assert frames[0, :MARGIN].max() < 60, "a margin"


def test_without_h264_the_video_is_mpeg4_and_says_why(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.media.MP4_ENCODERS", {"no_such_encoder": {}, "mpeg4": {"b": "8000000"}})
    monkeypatch.setattr("recon.report.video.MP4_ENCODERS", ["no_such_encoder", "mpeg4"])
    said = write_video(run, tmp_path / "a.mp4", seconds=0.3, methods=["ridge"])
    assert "no H.264 encoder" in said
    assert frames_of(tmp_path / "a.mp4")[0] == "mpeg4"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["rigde"]}, r"methods: expected some of .*, got rigde \(did you mean 'ridge'\?\)"),
        ({"clips": 0}, r"clips: expected at least 1, got 0"),
        ({"seconds": 0.0}, r"seconds: expected a duration of at most 600, got 0"),
        ({"name": "a.avi"}, r"video: expected a name that ends in \.mp4, got a\.avi"),
    ],
)
def test_what_cannot_be_shown_is_said(run: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    asked = dict(options)
    with pytest.raises(InputError, match=message):
        write_video(run, tmp_path / str(asked.pop("name", "a.mp4")), **asked)
    assert not list(tmp_path.iterdir())


def test_tiles_hold_each_movie_and_repeat_its_edge() -> None:
    movies = [np.full((3, 12, 20), value, np.uint8) for value in (10, 20, 30)]
    layout = tiling(movies)
    assert layout == {"columns": 1, "tile": [16, 24]}
    frame = next(mosaic(movies))
    assert frame.shape == (48, 24)
    assert [set(frame[16 * tile : 16 * tile + 16].ravel()) for tile in range(3)] == [{10}, {20}, {30}]


def test_movies_of_noise_stay_within_the_size_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    truths = {name: generator.integers(0, 256, (90, 24, 32), dtype=np.uint8) for name in "ab"}
    clips = [
        {"trial": name, "frames": 90, "warmup": 10, "tail": 4, "frame_rate": 30.0, "height": 24, "width": 32}
        for name in truths
    ]
    monkeypatch.setattr("recon.report.movies.MOVIE_BYTES", 120_000)
    shown, methods, elements = embed(clips, truths, [{"movies": truths}, {"movies": {"b": truths["b"]}}])
    assert [method["movies"] for method in methods] == [{"a": 1, "b": 1}, {"b": 2}]
    assert [len(clip["stills"]) for clip in shown] == [5, 5]
    assert len(elements) < 1.3 * 120_000
    assert elements == embed(clips, truths, [{"movies": truths}, {"movies": {"b": truths["b"]}}])[2], "deterministic"


def test_clips_of_another_length_are_shown_in_equal_parts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", clips=3, shape=(16, 12, 20), warmup=4)
    said = write_video(run, tmp_path / "a.mp4", seconds=1.0, methods=["ridge"])
    assert "1.0 s" in said
    assert len(frames_of(tmp_path / "a.mp4")[3]) == 30
