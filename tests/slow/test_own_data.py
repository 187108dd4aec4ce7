"""README's recipe for own data, word for word: from plain arrays, or a video, to a page."""

from __future__ import annotations

import csv
import re
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recon.cli import main

README = Path(__file__).parents[2] / "README.md"
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def recipe() -> list[str]:
    """Return the commands of the section *Your own data*, of its only block of commands."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("\n## Your own data\n") :].split("\n## ")[1]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    return [line for line in block.splitlines() if line.strip()]


@dataclass(frozen=True)
class World:
    """A mouse of Gabor-like cells that watches drifting clouds: what a test needs to know of it."""

    minutes: float
    neurons: int = 100
    rate: int = 30
    size: tuple[int, int] = (36, 64)
    colour: bool = False

    @property
    def frames(self) -> int:
        return round(self.minutes * 60 * self.rate)

    def movie(self) -> Array:
        """Return frames `(T,H,W)` in 0–255: clouds that change every 10 s, and drift."""
        rng, (height, width), cut = np.random.default_rng(0), self.size, 10 * self.rate
        scale, step, scenes = height / 36, 12 / self.rate, []
        for _ in range(-(-self.frames // cut)):
            cloud = gaussian_filter(rng.standard_normal((2 * height, 3 * width)), 3 * scale, mode="wrap")
            angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0) * scale * step
            shifts = np.rint(np.arange(cut)[:, None] * speed * [np.sin(angle), np.cos(angle)]).astype(int)
            scenes.append([np.roll(cloud, tuple(shift), (0, 1))[:height, :width] for shift in shifts])
        movie = np.concatenate(scenes)[: self.frames]
        return np.clip(127 + 55 * movie / movie.std(), 0, 255).round().astype(np.float32)

    def responses(self, movie: Array) -> Array:
        """Return Poisson counts `(N,T)` of smoothed half-rectified linear filters, 0.1 s after the frame."""
        rng, (height, width) = np.random.default_rng(1), self.size
        flat = ((movie - movie.mean()) / movie.std()).reshape(len(movie), -1)
        y, x = np.mgrid[:height, :width] / height
        places = rng.uniform(0.1, 0.9, (self.neurons, 2)) * [1, width / height]
        angles, phases = rng.uniform(0, 2 * np.pi, (2, self.neurons))
        filters = []
        for (row, column), angle, phase in zip(places, angles, phases, strict=True):
            along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
            near = np.exp(-((x - column) ** 2 + (y - row) ** 2) / 0.02)
            filters.append((near * np.cos(12 * along + phase)).ravel())
        drive = flat @ np.stack(filters).T
        drive = gaussian_filter(np.roll(drive / drive.std(0), self.rate // 10, 0), (self.rate / 30, 0))
        return rng.poisson(np.clip(drive, 0, None) * 30 / self.rate).T.astype(np.float32)


def write_video(path: Path, movie: Array, rate: int) -> None:
    """Write a colour video: red, green and blue are the movie, brighter and darker."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *movie.shape[1:], "yuv444p"
        for frame in movie:
            rgb = np.stack([np.clip(frame * gain, 0, 255) for gain in (0.9, 1.0, 1.1)], -1).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


SHORT = ["training.steps=60", "training.validate_every=30"]
WORLDS = {
    "as it stands": (World(10.0), {}, []),
    "60 Hz": (World(3.0, 40, rate=60), {"--frame-rate 30": "--frame-rate 60"}, SHORT),
    "72x128": (World(3.0, 40, size=(72, 128)), {"1.9": "0.95"}, SHORT),
    "a colour video": (World(3.0, 40, colour=True), {"movie.npy": "movie.mp4"}, SHORT),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", WORLDS)
def test_the_recipe_leads_from_files_to_a_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, changes, short = WORLDS[name]
    monkeypatch.chdir(tmp_path)
    movie = world.movie()
    np.save("responses.npy", world.responses(movie))
    if world.colour:
        write_video(Path("movie.mp4"), movie, world.rate)
    else:
        np.save("movie.npy", movie)
    for line in recipe():
        began = time.monotonic()
        for old, new in changes.items():
            line = line.replace(old, new)
        assert main([*shlex.split(line)[1:], *(short if " train " in line else [])]) == 0, line
        with capsys.disabled():
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
    (table,) = Path("runs").glob("*/results.csv")
    assert (table.parent / "report.html").is_file()
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores = {label: [float(r["video_correlation"]) for r in rows if r["method"] == label] for label in labels(rows)}
    means = {label: float(np.mean(values)) for label, values in scores.items()}
    assert all(row["status"] == "finished" for row in rows)
    assert means["map_spectrum"] > max(means["mean"], means["map_spectrum, wrong clip"]) + 0.1, means


def labels(rows: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))
