"""Video files (mp4, mkv, avi, mov, webm, gif), read frame by frame through FFmpeg."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.layout import Array
from recon.data.limits import check_unpacked
from recon.data.resize import Size
from recon.data.video_frames import RATE, Pixels, VideoPicture, pictures
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
PIXEL = 4
"""Bytes per pixel of a decoded picture."""


@dataclass(frozen=True)
class VideoFile:
    """Facts of a video file: number and `size` of its frames as shown, `rate` in Hz, colour.

    `remarks` say what of the display metadata of the file changed its frames, or cannot be followed.
    """

    path: Path
    frames: int
    size: Size
    rate: float
    colour: bool
    remarks: tuple[str, ...] = ()


class VideoReader:
    """Frames of a video file in order; going back starts the file again."""

    def __init__(self, file: VideoFile) -> None:
        self.file = file
        self._next = 0
        self._left: Iterator[VideoPicture] = iter(())

    def read(self, first: int, end: int) -> Iterator[Array]:
        """Yield frames [first, end), `(H,W)` or `(H,W,3)` uint8; raises InputError where the file ends early."""
        if first < self._next or self._next == 0:
            self._next, self._left = 0, decoded(self.file.path, pixels="rgb24" if self.file.colour else "gray")
        for number, shown in enumerate(self._left, self._next):
            self._next = number + 1
            if number >= first:
                yield self._checked(shown.picture)
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
    """Return the facts of a video file; raises InputError for a variable rate and oblong pixels.

    Only its first frame is decoded.
    """
    times, stated, tick, colour = _index(path)
    first = next(decoded(path), None)
    if first is None:
        raise _unreadable(path, InputError("no frame"))
    if first.pixel != 1:
        raise InputError(
            f"{path}: expected square pixels, got {first.pixel.numerator}:{first.pixel.denominator}; encode it again "
            "with `ffmpeg -i FILE -vf scale=iw*sar:ih,setsar=1 NEW`"
        )
    steps = np.diff(times[np.isfinite(times)])
    usual = float(np.median(steps)) if len(steps) else 0.0
    rate = _rate(steps, stated, tick)
    if usual > 0 and float(np.abs(steps - usual).max()) > 0.5 * usual:
        raise InputError(
            f"{path}: expected a constant frame rate, got frames shown for {steps.min():.3g}–{steps.max():.3g} s; "
            f"encode it again with `ffmpeg -i FILE -fps_mode cfr -r {rate:g} NEW`"
        )
    size = int(first.picture.shape[0]), int(first.picture.shape[1])
    return VideoFile(path, len(times), size, rate, colour, first.remarks)


def decoded(path: Path, *, pixels: Pixels = "gray") -> Iterator[VideoPicture]:
    """Yield the frames of a video file as a player shows them, luma or RGB.

    Raises InputError for a file that is missing, damaged or of another kind than its suffix says.
    """
    import av

    try:
        with _opened(path) as container:
            yield from pictures(path, container, _stream(path, container), pixels)
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def _index(path: Path) -> tuple[Array, Fraction | None, float, bool]:
    """Return the times of all frames in seconds, the stated rate, the clock's tick in seconds, and if it has colour."""
    import av

    try:
        with _opened(path) as container:
            stream = _stream(path, container)
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            times = [packet.dts if packet.pts is None else packet.pts for packet in packets]
            seconds = np.sort([math.nan if time is None else float(time * stream.time_base) for time in times])
            grey = str(stream.pix_fmt or "").startswith(("gray", "mono"))
            return seconds, stream.average_rate, float(stream.time_base), not grey
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def _rate(steps: Array, stated: Fraction | None, tick: float) -> float:
    """Return the stated rate in Hz, unless the frames' times contradict it: a last frame that stays distorts it."""
    mean = float(steps.mean()) if len(steps) else 0.0
    if mean <= 0:
        return float(stated) if stated else float(RATE)
    slack = tick / len(steps) + 1e-3 * mean
    return float(stated) if stated and abs(1 / float(stated) - mean) <= slack else 1 / mean


def _stream(path: Path, container: Any) -> Any:
    """Return the first video stream of a known codec that is no cover picture; raises IndexError without one."""
    from av.stream import Disposition

    known = [one for one in container.streams.video if one.codec_context is not None]
    films = [one for one in known if not one.disposition & Disposition.attached_pic]
    if not films:
        raise IndexError("no video stream")
    check_unpacked(str(path), PIXEL * films[0].width * films[0].height, path.stat().st_size)
    return films[0]


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
