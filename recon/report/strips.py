"""Film strips of a run: the true movie above its reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.data.hdf5 import Hdf5, open_hdf5
from recon.errors import InputError
from recon.media import Pixels, film_strip, side_by_side, spread_frames, to_uint8, write_png
from recon.report.cells import read_table
from recon.study import manifest
from recon.study.folders import INPUTS
from recon.study.store import read_task

FEW = 4
"""Maximum number of frames for strips side by side."""


@dataclass(frozen=True)
class TrueMovie:
    """A clip as it was shown: movie `[T,H,W]`, scored frames, frame rate (Hz) and caption."""

    movie: Pixels
    scored: range
    frame_rate: float
    caption: str


def write_strip(run: Path, picture: Path, *, methods: Sequence[str] = (), clips: int = 2, count: int = 8) -> Path:
    """Write a PNG with `count` scored frames of the true movie and of each method's reconstruction, per clip.

    Without `methods` all methods on recorded activity are shown. Strips of few frames are placed side by side.
    """
    manifest.check(run, of=manifest.RUN, needs=INPUTS)
    truths = dict(list(true_movies(run).items())[:clips])
    shown = reconstructions(run, methods)
    missing = sorted(set(methods) - set(shown))
    if missing or not shown:
        raise InputError(f"strip: expected methods of {run}, got {missing or 'an empty run'}; see `recon report {run}`")
    parts = []
    for trial, true in truths.items():
        rows = [true.movie, *(movies[trial] for movies in shown.values())]
        frames = spread_frames(len(true.movie), count=count, first=true.scored.start, end=true.scored.stop)
        parts.append(film_strip(rows, frames=frames, scale=2, labels=["true movie", *shown])[None])
    write_png(picture, side_by_side(parts, gap=8, below=count > FEW)[0])
    return picture


def true_movies(run: Path) -> dict[str, TrueMovie]:
    """Return the true movies of a run by trial."""
    with open_hdf5(run / "clips.h5") as file:
        return {name: _true_movie(file, name) for name in file.children("*")}


def _true_movie(file: Hdf5, trial: str) -> TrueMovie:
    movie = file.values(f"{trial}/truth", axes=3)[:]
    scored = range(int(file.number(trial, key="warmup")), len(movie) - int(file.number(trial, key="tail")))
    caption = str(file.attributes(trial).get("caption", ""))
    return TrueMovie(movie, scored, file.number(trial, key="frame_rate", default=30.0), caption)


def reconstructions(run: Path, methods: Sequence[str]) -> dict[str, dict[str, Pixels]]:
    """Return reconstructions by method and trial in table order; without `methods`, all on recorded activity."""
    found: dict[str, dict[str, Pixels]] = {}
    for folder in (run / "tasks").glob("[!.]*"):
        rows = read_task(folder)
        name = rows[0]["method"]
        if name in methods or (not methods and rows[0]["condition"] == "recorded"):
            with open_hdf5(folder / "movie.h5") as file:
                shown = {key: file.values(f"{key}/reconstruction", axes=3)[:] for key in file.children("*")}
            found.setdefault(name, {}).update({key: to_uint8(movie) for key, movie in shown.items()})
    order = _order(run)
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _order(run: Path) -> dict[str, int]:
    names = dict.fromkeys(row["method"] for row in read_table(run, "results"))
    return {name: place for place, name in enumerate(names)}
