"""Clips from a user's own films, converted to grey, 30 Hz and the screen's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.data.content import content_hashes
from recon.data.resize import resizing
from recon.data.video import SUFFIXES, decoded
from recon.errors import InputError
from recon.files import digest
from recon.simulate.movies import SceneRecord, SimulatedClip

Array = np.ndarray[Any, Any]

FRAME_RATE = 30


def film_clips(folder: Path, *, frames: int, frame_size: tuple[int, int], per_film: int = 3) -> list[tuple[str, Array]]:
    """Return (name, video `[T,H,W]` float32 in 0–255) of up to `per_film` clips of each film in a folder.

    Clips are evenly spaced and do not overlap; films shorter than one clip are skipped.
    """
    if not folder.is_dir():
        raise InputError(f"films: expected a folder with {', '.join(SUFFIXES)} files, got {folder}; check the path")
    clips = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        film = read_film(path, frame_size=frame_size)
        count = min(per_film, len(film) // frames)
        share = len(film) / max(count, 1)
        starts = [int(share * i + (share - frames) / 2) for i in range(count)]
        clips += [(f"{path.stem}-{start}", film[start : start + frames]) for start in starts]
    if not clips:
        raise InputError(
            f"films: expected at least one film of {frames / FRAME_RATE:g} s in {folder}, got none; add a longer film"
        )
    return clips


def film_set(folder: Path, *, frames: int, frame_size: tuple[int, int], attributes: int) -> list[SimulatedClip]:
    """Return the clips of a folder of films for a simulation; their content is unknown, so attributes are zero."""
    clips = []
    for name, video in film_clips(folder, frames=frames, frame_size=frame_size):
        caption = f"a film, {name}"
        record = SceneRecord(0, frames, (caption,), name)
        levels = np.clip(np.round(video), 0, 255).astype(np.uint8)
        clips.append(SimulatedClip(name, levels, np.zeros((attributes, frames), np.float32), (caption,), (record,)))
    return clips


def films_content(folder: Path) -> dict[str, str]:
    """Return {"films": hash of the names and contents of the films in a folder}; empty if there is no such folder."""
    contents = content_hashes(folder) if folder.is_dir() else {}
    films = {name: content for name, content in contents.items() if Path(name).suffix.lower() in SUFFIXES}
    return {"films": digest(films)} if films else {}


def read_film(path: Path, *, frame_size: tuple[int, int], limit: float = 60.0) -> Array:
    """Return the first `limit` seconds of a film as `[T,H,W]` float32 in 0–255 at 30 Hz.

    Pictures are cropped centrally to the screen's aspect ratio and resized by area averaging. Resampling to 30 Hz
    repeats or skips frames.
    """
    times, pictures = [], []
    for time, picture in decoded(path):
        if time > limit:
            break
        times.append(time)
        pictures.append(resizing(_size(picture), frame_size, crop=True).apply(picture[None])[0])
    if len(pictures) < 2:
        raise InputError(f"{path}: expected a film of at least 2 frames, got {len(pictures)}; check the file")
    wanted = np.arange(times[0], times[-1], 1 / FRAME_RATE)
    shown = np.searchsorted(np.array(times), wanted + 1e-6, side="right") - 1
    return np.stack(pictures)[np.maximum(shown, 0)]


def _size(picture: Array) -> tuple[int, int]:
    return int(picture.shape[0]), int(picture.shape[1])
