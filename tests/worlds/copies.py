"""Copies of a movie as they come about: written as pictures or as video, with noise; and whether they are found."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from PIL import Image

from recon.data.duplicates.find import Match, matches, signature
from recon.data.duplicates.shifted import copies

Movie = np.ndarray[Any, Any]
Change = Callable[[Movie], Movie]


def jpeg(movie: Movie, quality: int = 60) -> Movie:
    """Every frame written as a JPEG picture and read again."""
    pictures = []
    for frame in np.clip(np.rint(movie), 0, 255).astype(np.uint8):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        pictures.append(np.asarray(Image.open(file)))
    return np.stack(pictures)


def noisy(movie: Movie) -> Movie:
    """Noise of three grey levels, 4 % more contrast, four grey levels brighter."""
    noise = np.random.default_rng(0).normal(0, 3, movie.shape)
    return np.rint(np.clip(1.04 * movie.astype(np.float32) + 4 + noise, 0, 255)).astype(np.uint8)


def filmed(movie: Movie) -> Movie:
    """Written as MPEG-4 video and read again."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = movie.shape[1:]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 200_000
        frames = (av.VideoFrame.from_ndarray(frame, format="gray") for frame in np.rint(movie).astype(np.uint8))
        for frame in (*(frame.reformat(format="yuv420p") for frame in frames), None):
            container.mux(stream.encode(frame))
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


CHANGES: dict[str, Change] = {"jpeg": jpeg, "noise": noisy, "film": filmed}


def found_between(*movies: Movie) -> tuple[Match, ...]:
    """All pairs that either test finds."""
    signatures = [signature(movie) for movie in movies]
    known = matches(signatures)
    return (*known, *copies(signatures, known=known))
