"""Video files (mp4, mkv, avi, mov, webm, gif), read frame by frame through FFmpeg."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.data.layout import Array
from recon.data.limits import check_unpacked
from recon.data.resize import Size
from recon.errors import InputError

CONTAINERS = {
    ".mp4": "mp4",
    ".mkv": "matroska",
    ".avi": "avi",
    ".mov": "mov",
    ".webm": "matroska",
    ".gif": "gif",
}
"""FFmpeg's container by suffix; any other content, for example a playlist that names further files, is refused."""
SUFFIXES = tuple(CONTAINERS)
RATE = 30
"""Frame rate in Hz of files that state neither a rate nor times."""
PIXEL = 4
"""Bytes per pixel of a decoded picture."""
Pixels = Literal["gray", "rgb24"]


@dataclass(frozen=True)
class VideoFile:
    """Facts of a video file, found without decoding it: number and `size` of its frames, `rate` in Hz, colour."""

    path: Path
    frames: int
    size: Size
    rate: float
    colour: bool


class VideoReader:
    """Frames of a video file in order; going back starts the file again."""

    def __init__(self, file: VideoFile) -> None:
        self.file = file
        self._next = 0
        self._left: Iterator[tuple[float, Array]] = iter(())

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end), `(H,W)` or `(H,W,3)` uint8; raises InputError where the file ends early."""
        if first < self._next or self._next == 0:
            self._next, self._left = 0, decoded(self.file.path, pixels="rgb24" if self.file.colour else "gray")
        for number, (_, picture) in enumerate(self._left, self._next):
            self._next = number + 1
            if number >= first:
                yield self._checked(picture)
            if number + 1 == end:
                return
        raise InputError(
            f"{self.file.path}: expected {self.file.frames} frames as its index says, got {self._next}; copy the file "
            "again, or encode it again"
        )

    def _checked(self, picture: Array) -> Array:
        if picture.shape[:2] != self.file.size:
            raise InputError(
                f"{self.file.path}: expected frames of one size, {self.file.size}, got {picture.shape[:2]} at frame "
                f"{self._next - 1}; encode the file again"
            )
        return picture


def is_video(path: Path) -> bool:
    """Return whether a file has the suffix of a video.

    >>> is_video(Path("a.MP4")), is_video(Path("a.npy"))
    (True, False)
    """
    return path.suffix.lower() in SUFFIXES


def open_video(path: Path) -> VideoFile:
    """Return the facts of a video file; raises InputError for a variable rate, oblong pixels and rotated frames."""
    times, first, stated, pixels = _index(path)
    size = int(first.height), int(first.width)
    if first.rotation:
        raise InputError(f"{path}: expected upright frames, got a rotation by {first.rotation}°; encode it again")
    if pixels not in (None, 0, 1):
        raise InputError(
            f"{path}: expected square pixels, got {pixels.numerator}:{pixels.denominator}; encode it again with "
            "`ffmpeg -i FILE -vf scale=iw*sar:ih,setsar=1 NEW`"
        )
    steps = np.diff(times[np.isfinite(times)])
    usual = float(np.median(steps)) if len(steps) else 0.0
    rate = float(stated) if stated else 1 / usual if usual > 0 else float(RATE)
    if usual > 0 and float(np.abs(steps - usual).max()) > 0.5 * usual:
        raise InputError(
            f"{path}: expected a constant frame rate, got frames shown for {steps.min():.3g}–{steps.max():.3g} s; "
            f"encode it again with `ffmpeg -i FILE -fps_mode cfr -r {rate:g} NEW`"
        )
    return VideoFile(path, len(times), size, rate, not first.format.name.startswith(("gray", "mono")))


def decoded(path: Path, *, pixels: Pixels = "gray") -> Iterator[tuple[float, Array]]:
    """Yield the time in seconds of every frame of a video file and its picture, `(H,W)` luma or `(H,W,3)` RGB, uint8.

    Raises InputError for a file that is missing, damaged or of another kind than its suffix says.
    """
    import av

    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or Fraction(RATE)
            for number, frame in enumerate(container.decode(stream)):
                time = frame.time if frame.time is not None else float(number / rate)
                yield float(time), frame.to_ndarray(format=pixels)
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def _index(path: Path) -> tuple[Array, Any, Fraction | None, Fraction | None]:
    """Return the times of all frames in seconds, the first frame, the stated rate and the aspect ratio of a pixel."""
    import av

    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            check_unpacked(str(path), PIXEL * stream.width * stream.height, path.stat().st_size)
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            times = [packet.dts if packet.pts is None else packet.pts for packet in packets]
            seconds = np.sort([math.nan if time is None else float(time * stream.time_base) for time in times])
            stated, pixels = stream.average_rate, stream.sample_aspect_ratio
        with _opened(path) as container:
            return seconds, next(iter(container.decode(video=0))), stated, pixels
    except (av.error.FFmpegError, IndexError, StopIteration) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path) -> Any:
    import av

    if not path.is_file():
        raise InputError(f"{path}: expected a video file, got none; check the path")
    return av.open(str(path), format=CONTAINERS.get(path.suffix.lower(), "none"))


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error) or type(error).__name__
    return InputError(
        f"{path}: expected a video that FFmpeg reads as {path.suffix}, got: {reason}; encode it again as mp4"
    )
