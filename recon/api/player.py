"""Movies of results to look at: in a notebook, as a video file, as HDF5."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image
from torch import Tensor

from recon.errors import InputError
from recon.files.paths import user_path
from recon.media import Pixels, labelled, side_by_side, to_uint8, upscale, write_mp4
from recon.study.outputs import hdf5_file

SCALE, GAP = 4, 8
"""Screen pixels per pixel of a movie, and pixels between movies, in a video file."""


class Panel(NamedTuple):
    """The movies `[C,T,H,W]` of one clip and their names, the true one first."""

    title: str
    names: Sequence[str]
    movies: Sequence[Tensor]


@dataclass(frozen=True, repr=False)
class Player:
    """Movies that play in a notebook: one row per clip, one column per movie, each an animated picture in the page."""

    panels: Sequence[Panel]
    frame_rate: float
    width: int = 256

    def __repr__(self) -> str:
        return "\n".join(f"{panel.title}: {', '.join(panel.names)}" for panel in self.panels)

    def _repr_html_(self) -> str:
        return self.html

    @property
    def html(self) -> str:
        """The page's part: self-contained, without scripts and without a network."""
        return "".join(map(self._row, self.panels))

    def save(self, path: Path | str) -> Path:
        """Write the movies as a page (.html)."""
        from recon.files import write_bytes

        file = user_path(path)
        if file.suffix != ".html":
            raise InputError(f"{file}: expected a name that ends in .html, got {file.suffix or 'none'}; rename it")
        write_bytes(file, f"<!doctype html><meta charset='utf-8'><title>recon</title>{self.html}".encode())
        return file

    def _row(self, panel: Panel) -> str:
        movies = [_grey(movie) for movie in panel.movies]
        heads = "".join(map(self._head, panel.names))
        picture = base64.b64encode(_animated(side_by_side(movies, gap=GAP // 4), self.frame_rate)).decode()
        width = (self.width + GAP) * len(movies) - GAP
        alt = html.escape(f"{panel.title}: {', '.join(panel.names)}, side by side, playing", quote=True)
        return (
            f"<figure style='margin:0 0 1em 0'><figcaption><b>{html.escape(panel.title)}</b>"
            f"<div style='display:flex'>{heads}</div></figcaption>"
            f"<img alt='{alt}' style='width:{width}px;max-width:100%;image-rendering:pixelated' "
            f"src='data:image/webp;base64,{picture}'></figure>"
        )

    def _head(self, name: str) -> str:
        return f"<div style='width:{self.width}px;padding-right:{GAP}px'>{html.escape(name)}</div>"


def as_mp4(path: Path, panels: Sequence[Panel], frame_rate: float) -> Path:
    """Write a video: the true movies above the reconstructions, one clip after another to the right, with names."""
    frames = min(panel.movies[0].shape[1] for panel in panels)
    columns = []
    for panel in panels:
        movies = [upscale(_grey(movie)[:frames], SCALE) for movie in panel.movies]
        columns.append(side_by_side(movies, gap=GAP, below=True))
    picture = side_by_side(columns, gap=GAP)
    names = [name.rpartition(", video r ")[0] or name for name in panels[0].names]
    margin = labelled(picture[0], names, gap=GAP)[:, : -picture.shape[2]]
    beside = np.broadcast_to(margin, (frames, *margin.shape))
    return write_mp4(path, np.concatenate([beside, picture], axis=2), frame_rate=frame_rate)


def as_hdf5(groups: Mapping[str, Mapping[str, Tensor]], about: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return an HDF5 file with one group per clip: its movies `(T,H,W)`, the mean over channels, and attributes."""
    arrays = {name: {kind: movie.mean(0).numpy() for kind, movie in own.items()} for name, own in groups.items()}
    return hdf5_file(arrays, about)


def as_npy(movie: Tensor) -> bytes:
    """Return a tensor as a .npy file."""
    memory = io.BytesIO()
    np.save(memory, movie.numpy(), allow_pickle=False)
    return memory.getvalue()


def as_npz(trials: Sequence[int], clips: Sequence[Mapping[str, Tensor]]) -> bytes:
    """Return a .npz file: `trials` `[B]`, and each layer of the clips, `[B,C,T,H,W]` float32 in [0,1].

    Clips of several lengths are padded with NaN to the longest.
    """
    longest = max(clip["reconstruction"].shape[1] for clip in clips)
    names = [name for name in clips[0] if all(name in clip for clip in clips)]
    layers = {name: np.stack([_padded(clip[name].numpy(), longest) for clip in clips]) for name in names}
    memory, save = io.BytesIO(), cast("Callable[..., None]", np.savez_compressed)
    save(memory, trials=np.array(trials), **layers)
    return memory.getvalue()


def _padded(movie: np.ndarray[Any, Any], frames: int) -> np.ndarray[Any, Any]:
    missing = [(0, 0), (0, frames - movie.shape[1]), (0, 0), (0, 0)]
    return np.pad(movie, missing, constant_values=np.nan)


def _grey(movie: Tensor) -> Pixels:
    return to_uint8(movie.mean(0))


def _animated(movie: Pixels, frame_rate: float) -> bytes:
    """Return a movie `[T,H,W]` as a looping WebP."""
    first, *others = (Image.fromarray(frame) for frame in movie)
    ticks = np.round(np.arange(len(movie) + 1) * 1000 / frame_rate).astype(int)
    memory = io.BytesIO()
    durations = np.diff(ticks).tolist()
    first.save(memory, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=80, method=2)
    return memory.getvalue()
