"""Movies as pictures and files: film strips, mosaics, PNG, GIF, MP4 and WebM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from recon.errors import InputError
from recon.files import write_bytes

Pixels = NDArray[np.uint8]


SPACER = 255
"""Grey value of the gaps between pictures and of the label margin."""


SCALE, GAP = 2, 8


COLUMN, LINES = 24, 4
"""Caption labels: minimum characters per line; long captions widen the lines to fit about `LINES` of them."""


MP4_ENCODERS = {"libx264": {"crf": "16", "preset": "fast"}, "mpeg4": {"b": "8000000"}}
"""Encoders of MP4 files with their options, the best first."""
VP9 = {
    "crf": "8",
    "deadline": "good",
    "cpu-used": "3",
    "g": "60",
    "lag-in-frames": "25",
    "auto-alt-ref": "1",
    "threads": "1",
}
"""Options of the page's movies; a key frame every 60 frames keeps seeking fast."""


def to_uint8(movie: ArrayLike) -> Pixels:
    """Convert a movie in [0,1] of any shape to grey values 0–255; values are clipped, NaN becomes black.

    >>> to_uint8([0.0, 0.5, 1.2])
    array([  0, 128, 255], dtype=uint8)
    """
    clean = np.nan_to_num(np.asarray(movie, dtype=np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    grey: Pixels = np.floor(np.clip(clean, 0, 1) * 255 + 0.5).astype(np.uint8)
    return grey


def upscale(pictures: Pixels, factor: int) -> Pixels:
    """Return pictures `[…,H,W]` enlarged `factor` times by nearest-neighbour interpolation.

    >>> upscale(np.array([[1, 2]], np.uint8), 2).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if factor < 1:
        raise InputError(f"upscaling factor: expected a whole number of at least 1, got {factor}")
    return pictures.repeat(factor, axis=-2).repeat(factor, axis=-1)


def side_by_side(movies: Sequence[Pixels], *, gap: int = 2, below: bool = False) -> Pixels:
    """Tile movies `[T,H,W]` horizontally (or vertically with `below`) into one `[T,h,w]`, `gap` pixels apart."""
    axis = 1 if below else 2
    _same_shape(movies)
    shape = list(movies[0].shape)
    shape[axis] = gap
    spacer = np.full(shape, SPACER, np.uint8)
    parts = [part for movie in movies for part in (spacer, movie)][1:]
    return np.concatenate(parts, axis=axis)


def film_strip(
    movies: Sequence[Pixels], *, frames: Sequence[int], scale: int = 2, gap: int = 2, labels: Sequence[str] = ()
) -> Pixels:
    """Return a film strip `[h,w]`: one row per movie `[T,H,W]`, one column per frame, with optional row labels."""
    _same_shape(movies)
    if not frames or min(frames) < 0 or max(frames) >= len(movies[0]):
        raise InputError(f"frames of a film strip: expected some of 0 to {len(movies[0]) - 1}, got {list(frames)}")
    if labels and len(labels) != len(movies):
        raise InputError(f"labels of a film strip: expected one per movie ({len(movies)}), got {len(labels)}")
    cells = [side_by_side([upscale(movie[None, frame], scale) for frame in frames], gap=gap) for movie in movies]
    strip = side_by_side(cells, gap=gap, below=True)[0]
    return labelled(strip, labels, gap=gap) if labels else strip


def labelled(picture: Pixels, labels: Sequence[str], *, gap: int = 2) -> Pixels:
    """Add labels to the left of a picture `[h,w]`, one per row of equal height, `gap` pixels apart.

    Labels may have several lines.
    """
    return np.concatenate([_label_margin(labels, picture.shape[0], gap), picture], axis=1)


def spread_frames(frames: int, *, count: int = 8, first: int = 0, end: int | None = None) -> list[int]:
    """Return up to `count` evenly spaced frame indices in [first, end), for a film strip.

    >>> spread_frames(100, count=3, first=50)
    [58, 75, 91]
    """
    last = frames if end is None else min(end, frames)
    count = max(1, min(count, last - first))
    return [int(first + (last - first) * (index + 0.5) / count) for index in range(count)]


def sprite_sheet(movie: Pixels, *, columns: int) -> Pixels:
    """Arrange the frames of a movie `[T,H,W]` row by row in one picture `[rows·H, columns·W]`; unused cells are black.

    >>> sprite_sheet(np.arange(3, dtype=np.uint8).reshape(3, 1, 1), columns=2).tolist()
    [[0, 1], [2, 0]]
    """
    frames, height, width = movie.shape
    rows = -(-frames // columns)
    padded = np.zeros((rows * columns, height, width), np.uint8)
    padded[:frames] = movie
    grid = padded.reshape(rows, columns, height, width).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width))


def encode_png(picture: Pixels) -> bytes:
    """Encode a picture `[H,W]` as an 8-bit grey PNG, without loss."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=5)
    return buffer.getvalue()


def encode_gif(movie: Pixels, *, frame_rate: float) -> bytes:
    """Encode a movie `[T,H,W]` as a looping grey GIF with mean rate `frame_rate` (Hz).

    GIF delays are multiples of 10 ms and browsers slow down delays below 20 ms, so movies above 50 Hz are subsampled.
    """
    stride = max(1, int(np.ceil(frame_rate / 50)))
    kept = movie[::stride]
    ticks = np.floor(np.arange(len(kept) + 1) * stride * 100 / frame_rate + 0.5)
    pictures = [Image.fromarray(frame) for frame in kept]
    durations = [int(tick) * 10 for tick in np.diff(ticks)]
    buffer = BytesIO()
    pictures[0].save(
        buffer, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
    )
    return buffer.getvalue()


def write_png(path: Path, picture: Pixels) -> Path:
    """Write a picture `[H,W]` as PNG and return the path."""
    write_bytes(path, encode_png(picture))
    return path


def write_gif(path: Path, movie: Pixels, *, frame_rate: float) -> Path:
    """Write a movie `[T,H,W]` as a looping GIF and return the path."""
    write_bytes(path, encode_gif(movie, frame_rate=frame_rate))
    return path


def write_mp4(path: Path, movie: Iterable[Pixels], *, frame_rate: float) -> Path:
    """Write a movie `[T,H,W]`, or its frames one by one, as MP4 that common players play, and return the path.

    H.264 with 4:2:0 subsampling; MPEG-4 Part 2 where the installed PyAV lacks an H.264 encoder (see `encoder_among`).
    Odd sizes are padded by one repeated row or column.
    """
    write_bytes(path, _encoded(movie, container="mp4", encoders=MP4_ENCODERS, frame_rate=frame_rate))
    return path


def encode_webm(movie: Iterable[Pixels], *, frame_rate: float, bit_rate: int) -> bytes:
    """Encode a movie `[T,H,W]` as VP9 WebM of constant quality, at most `bit_rate` bits per second.

    VP9 is decoded by Chromium, Firefox and Safari, also by builds without licensed codecs.
    """
    options = {**VP9, "b": str(bit_rate)}
    return _encoded(movie, container="webm", encoders={"libvpx-vp9": options}, frame_rate=frame_rate)


def encoder_among(names: Iterable[str]) -> str:
    """Return the first video encoder of some that the installed PyAV has; raises InputError where it has none."""
    from av.codec.codec import Codec, UnknownCodecError

    wanted = list(names)
    for name in wanted:
        with suppress(UnknownCodecError):
            return str(Codec(name, "w").name)
    raise InputError(f"PyAV: expected an encoder among {', '.join(wanted)}, got none; pip install av brings them")


def _encoded(
    frames: Iterable[Pixels], *, container: str, encoders: Mapping[str, Mapping[str, str]], frame_rate: float
) -> bytes:
    import av

    name, buffer = encoder_among(encoders), BytesIO()
    # bitexact: without random identifiers, so that equal movies give equal files.
    with av.open(buffer, mode="w", format=container, options={"fflags": "+bitexact"}) as target:
        rate = Fraction(frame_rate).limit_denominator(1001)
        stream: Any = target.add_stream(name, rate=rate, options=dict(encoders[name]))
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            # yuv420p subsamples the colour planes by 2, so both sides must be even.
            even = np.pad(frame, [(0, side % 2) for side in frame.shape], mode="edge")
            if not number:
                stream.height, stream.width = even.shape
            target.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="gray")))
        target.mux(stream.encode())
    return buffer.getvalue()


def _same_shape(movies: Sequence[Pixels]) -> None:
    shapes = sorted({movie.shape for movie in movies})
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise InputError(f"movies shown together: expected one shape [T,H,W], got {shapes}; cut them to equal frames")


def _label_margin(labels: Sequence[str], height: int, gap: int) -> Pixels:
    lines = max(label.count("\n") + 1 for label in labels)
    size = max(10, min(18, height // len(labels) // max(3, lines + 1)))
    font = ImageFont.load_default(size)
    width = int(max(font.getlength(line) for label in labels for line in label.splitlines() or [""])) + size
    margin = Image.new("L", (width, height), SPACER)
    row = (height + gap) / len(labels)
    for index, label in enumerate(labels):
        middle = index * row + (row - gap) / 2
        ImageDraw.Draw(margin).text((width - size / 2, middle), label, fill=0, font=font, anchor="rm", align="right")
    return np.asarray(margin, dtype=np.uint8)


def strip(draws: Pixels) -> Pixels:
    """Return a film strip `[h,w]` of draws `[K,T,H,W]`: one row per draw, evenly spaced frames."""
    return film_strip(list(draws), frames=spread_frames(draws.shape[1]), scale=SCALE)


def contact_sheet(draws: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """Return a picture `[h,w]` of film strips of draws `[K,T,H,W]`, labelled by caption ("" reads "(no caption)")."""
    strips = side_by_side([strip(part)[None] for part in draws], gap=GAP, below=True)[0]
    column = max(COLUMN, max(map(len, captions)) // LINES)
    return labelled(strips, [fill(caption or "(no caption)", column) for caption in captions], gap=GAP)
