"""Clips from a user's own films, converted to grey, 30 Hz and the screen's size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.content import content_hashes
from recon.data.layout import content_id
from recon.data.resize import resizing
from recon.data.video import SUFFIXES, decoded
from recon.errors import InputError
from recon.files import digest
from recon.simulate.movies import SceneRecord, SimulatedClip

Array = np.ndarray[Any, Any]

FRAME_RATE = 30
SHOWN = "as a player shows them"
"""How films are read; recordings of films that were read in another way are not taken for the same."""
ROUNDED = 0.2
"""Tolerance in frames: containers round times, Matroska to 1 ms and GIF to 10 ms."""


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
        clips += [(f"{path.name}-{start}", film[start : start + frames]) for start in starts]
    if not clips:
        raise InputError(
            f"films: expected at least one film of {frames / FRAME_RATE:g} s in {folder}, got none; add a longer film"
        )
    return clips


def film_set(folder: Path, *, frames: int, frame_size: tuple[int, int], attributes: int) -> list[SimulatedClip]:
    """Return the clips of a folder of films for a simulation, named by their content.

    What they show is unknown, so attributes are zero.
    """
    clips = []
    for name, video in film_clips(folder, frames=frames, frame_size=frame_size):
        caption = f"a film, {name}"
        record = SceneRecord(0, frames, (caption,), name)
        levels = np.clip(np.round(video), 0, 255).astype(np.uint8)
        clips.append(
            SimulatedClip(content_id(levels), levels, np.zeros((attributes, frames), np.float32), (caption,), (record,))
        )
    return clips


def films_content(folder: Path) -> dict[str, str]:
    """Return {"films": hash of the names and contents of the films in a folder}; empty if there is no such folder."""
    contents = content_hashes(folder) if folder.is_dir() else {}
    films = {name: content for name, content in contents.items() if Path(name).suffix.lower() in SUFFIXES}
    return {"films": digest({"shown": SHOWN, "films": films})} if films else {}


def read_film(path: Path, *, frame_size: tuple[int, int], limit: float = 60.0) -> Array:
    """Return the first `limit` seconds of a film as `[T,H,W]` float32 in 0–255 at 30 Hz.

    Pictures are turned and stretched as a player shows them, cropped centrally to the screen's aspect ratio and resized
    by area averaging. Time begins with the first picture, and the last one stays for its duration. Resampling to 30 Hz
    repeats or skips frames.
    """
    times: list[float] = []
    pictures: list[Array] = []
    remarks: dict[str, None] = {}
    last = 0.0
    for shown in decoded(path):
        if shown.time >= limit:
            last = limit - times[-1]
            break
        _check_order(path, times, shown.time)
        whole = resizing(_size(shown.picture), frame_size, crop=True, pixel=float(shown.pixel))
        pictures.append(whole.apply(shown.picture[None])[0])
        times.append(shown.time)
        remarks |= dict.fromkeys(shown.remarks)
        last = shown.seconds
    if len(pictures) < 2:
        raise InputError(f"{path}: expected a film of at least 2 frames, got {len(pictures)}; check the file")
    for remark in remarks:
        logging.getLogger(__name__).warning("%s: %s", path, remark)
    last = last if last > 0 else float(np.median(np.diff(times)))
    wanted = np.arange(round(min(times[-1] + last, limit) * FRAME_RATE)) + ROUNDED
    return np.stack(pictures)[np.searchsorted(np.array(times) * FRAME_RATE, wanted, side="right") - 1]


def _check_order(path: Path, times: Sequence[float], time: float) -> None:
    if times and not time >= times[-1]:
        raise InputError(
            f"{path}: expected frames in the order of their times, got one at {time:.3g} s after one at "
            f"{times[-1]:.3g} s; encode it again"
        )


def _size(picture: Array) -> tuple[int, int]:
    return int(picture.shape[0]), int(picture.shape[1])
