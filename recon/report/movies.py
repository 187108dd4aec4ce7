"""Movies embedded in a page: all movies of a clip are tiles of one video, so that they show the same frame."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recon.media import Pixels, encode_png, encode_webm, film_strip, spread_frames, sprite_sheet

MOVIE_BYTES = 5_000_000
"""Maximum size of all movies of a page, in base64."""
BYTES_PER_PIXEL = 0.14
"""Size of a movie of usual content as VP9 in base64; measured 0.13."""
BLOCK = 8
"""Tiles start at multiples of this many pixels, as the codec's smallest blocks do: neighbours do not mix."""
STILLS = 5
"""Frames of a movie shown in print, and where a browser cannot decode the video."""

Clip = dict[str, Any]
Method = dict[str, Any]


def clips_that_fit(pixels: int) -> int:
    """Return how many clips of `pixels` pixels (all movies together) a page can hold at full quality."""
    return int(MOVIE_BYTES / (pixels * BYTES_PER_PIXEL))


def embed(
    clips: Sequence[Clip], truths: Mapping[str, Pixels], methods: Sequence[Method]
) -> tuple[list[Clip], list[Method], str]:
    """Return clips with their tiling, methods with tile numbers in place of movies, and the videos as HTML elements.

    Half-widths of intervals are tiles too, after the movies. The elements are inert text: a browser decodes those of a
    clip when it is chosen.
    """
    order = [[place for place, method in enumerate(methods) if clip["trial"] in method["movies"]] for clip in clips]
    tiles: list[dict[str, int]] = [{} for _ in methods]
    layers: list[dict[str, int]] = [{} for _ in methods]
    shown: list[Clip] = []
    elements: list[str] = []
    for number, (clip, places) in enumerate(zip(clips, order, strict=True)):
        trial = clip["trial"]
        movies = [truths[trial], *(methods[place]["movies"][trial] for place in places)]
        for tile, place in enumerate(places, 1):
            tiles[place][trial] = tile
        for place in (place for place in places if trial in methods[place].get("widths", {})):
            layers[place][trial] = len(movies)
            movies.append(methods[place]["widths"][trial])
        frames = spread_frames(clip["frames"], count=STILLS, first=clip["warmup"], end=clip["frames"] - clip["tail"])
        shown.append(clip | tiling(movies) | {"stills": frames})
        elements += _elements(number, movies, frames, bit_rate=_bit_rate(clip, len(clips)), rate=clip["frame_rate"])
    placed = [
        method | {"movies": own, "widths": layer} for method, own, layer in zip(methods, tiles, layers, strict=True)
    ]
    return shown, placed, "\n".join(elements)


def tiling(movies: Sequence[Pixels]) -> dict[str, Any]:
    """Return the columns of a roughly square mosaic of movies `[T,H,W]`, and its tiles' height and width."""
    _, height, width = movies[0].shape
    tall, wide = (-(-side // BLOCK) * BLOCK for side in (height, width))
    columns = max(1, min(len(movies), round(math.sqrt(len(movies) * tall / wide))))
    return {"columns": columns, "tile": [tall, wide]}


def mosaic(movies: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield the frames `[h,w]` of a mosaic of movies `[T,H,W]`, tiled as by `tiling`; padding repeats the edges."""
    layout, (_, height, width) = tiling(movies), movies[0].shape
    tall, wide = layout["tile"]
    edges = ((0, 0), (0, tall - height), (0, wide - width))
    for frame in range(len(movies[0])):
        pictures = np.pad(np.stack([movie[frame] for movie in movies]), edges, mode="edge")
        yield sprite_sheet(pictures, columns=layout["columns"])


def _bit_rate(clip: Clip, clips: int) -> int:
    """Return the bits per second with which all clips together stay below the maximum; base64 adds a third."""
    return int(MOVIE_BYTES * 0.75 * 8 / clips / (clip["frames"] / clip["frame_rate"]))


def _elements(
    number: int, movies: Sequence[Pixels], frames: Sequence[int], *, bit_rate: int, rate: float
) -> tuple[str, str]:
    stills = film_strip(movies, frames=frames, scale=1, gap=0)
    video = encode_webm(mosaic(movies), frame_rate=rate, bit_rate=bit_rate)
    return _inert(f"movie-{number}", video), _inert(f"stills-{number}", encode_png(stills))


def _inert(name: str, content: bytes) -> str:
    return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode("ascii")}</script>'
