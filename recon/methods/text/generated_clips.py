"""Generated movies with captions, cached in parts: training data of priors and caption decoders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from recon.errors.ranges import Count, Positive
from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.simulate.movies import DEGREES_PER_PIXEL, make_clip
from recon.types import Caption

FIRST = 2000
"""Index of the first generated training clip of the committed split; simulated recordings use smaller indices."""
FRAMES = 300
PART = 50


@dataclass(frozen=True)
class Raster:
    """Frame geometry: `size` (H, W) in pixels and `degrees` per pixel."""

    size: tuple[Count, Count] = (36, 64)
    degrees: Positive = DEGREES_PER_PIXEL


STANDARD = Raster()


class Drawn(NamedTuple):
    """A clip `[T,H,W]` as bytes with its captions."""

    movie: Tensor
    spoken: tuple[Caption, ...]


def drawn_clips(
    split: str,
    count: int,
    *,
    first: int,
    frames: int,
    artefacts: Path,
    raster: Raster = STANDARD,
    progress: bool = False,
) -> Iterator[Drawn]:
    """Yield `count` clips of a split, cached in parts, so that an interrupted generation resumes."""
    silent = None if progress else True
    for start in tqdm(range(0, count, PART), f"draw {split} movies", unit="part", disable=silent):
        numbers = range(first + start, first + min(start + PART, count))
        part = _part(split, numbers, frames, artefacts, raster)
        for movie, scenes in zip(part["movies"], json.loads(bytes(part["about"].tolist())), strict=True):
            said = (Caption(scene["first"], scene["end"], tuple(scene["captions"])) for scene in scenes)
            yield Drawn(movie, tuple(said))


def _part(split: str, numbers: range, frames: int, folder: Path, raster: Raster) -> dict[str, Tensor]:
    """Return the clips of the given numbers as bytes, with their scenes as JSON in bytes."""
    other = [] if raster == STANDARD else [repr(raster)]
    path = artefact_path(folder, "movies", [split, numbers.start, numbers.stop, frames, *other], code=[__name__])
    if not whole(path):
        drawn = partial(make_clip, split, frames=frames, frame_size=raster.size, degrees_per_pixel=raster.degrees)
        clips = [drawn(number) for number in numbers]
        about = json.dumps([clip.describe() for clip in clips]).encode()
        movies = torch.stack([torch.from_numpy(clip.video) for clip in clips])
        save_artefact({"movies": movies, "about": torch.tensor(list(about), dtype=torch.uint8)}, path)
    return load_artefact(path, method="movies")
