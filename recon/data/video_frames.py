"""Decoded frames of a video as a player shows them: turned by the display matrix, in full range, opaque, timed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from recon.data.layout import Array
from recon.errors import InputError

RATE = 30
"""Frame rate in Hz of files that state neither a rate nor times."""
HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of high dynamic range, by number (ITU-T H.273)."""
INTERLACED = (
    "interlaced: a frame holds two moments in alternate lines; take them apart with `ffmpeg -i FILE -vf bwdif NEW`"
)
Pixels = Literal["gray", "rgb24"]
Turn = tuple[int, int, int, int]
"""Signs (a, b, c, d) of a display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
UPRIGHT: Turn = (1, 0, 0, 1)


class VideoPicture(NamedTuple):
    """A frame as shown: `time` in seconds after the first frame, its duration `seconds` (0 if unknown), the picture.

    `picture` is `(H,W)` luma or `(H,W,3)` RGB, uint8; `pixel` is the width of one of its pixels over the height.
    `remarks` say what of its metadata changed it, or can not be followed.
    """

    time: float
    seconds: float
    picture: Array
    pixel: Fraction
    remarks: tuple[str, ...]


def pictures(path: Path, container: Any, stream: Any, pixels: Pixels) -> Iterator[VideoPicture]:
    """Yield the frames of a stream as a player shows them; times begin with the first frame, wherever the file's do."""
    rate, begin = stream.average_rate or Fraction(RATE), None
    for number, frame in enumerate(container.decode(stream)):
        time = float(number / rate) if frame.time is None else float(frame.time)
        begin = time if begin is None else begin
        seconds = float((frame.duration or 0) * (frame.time_base or 0))
        yield _picture(path, frame, (time - begin, seconds), pixels=pixels, aspect=stream.sample_aspect_ratio)


def turned(picture: Array, turn: Turn) -> Array:
    """Return a picture `(H,W)` or `(H,W,3)` turned by quarters and mirrored.

    >>> turned(np.array([[1, 2], [3, 4]]), (0, 1, -1, 0)).tolist()
    [[3, 1], [4, 2]]
    """
    a, b, c, d = turn
    swapped = a == 0
    rows, columns = (b, c) if swapped else (d, a)
    shown = picture.swapaxes(0, 1) if swapped else picture
    return shown[::rows, ::columns]


def _picture(
    path: Path, frame: Any, when: tuple[float, float], *, pixels: Pixels, aspect: Fraction | None
) -> VideoPicture:
    turn = _turn(path, frame)
    if any(part.is_alpha for part in frame.format.components):
        _check_opaque(path, frame, when[0])
    shown = turned(frame.to_ndarray(format=pixels, dst_color_range="JPEG"), turn)
    pixel = aspect or Fraction(1)
    remarks = [f"turned as its display matrix says, to {shown.shape[0]}×{shown.shape[1]} pixels"] * (turn != UPRIGHT)
    remarks += [INTERLACED] * bool(frame.interlaced_frame)
    remarks += [f"high dynamic range ({HDR[t]}) is read as it is stored" for t in [frame.color_trc] if t in HDR]
    return VideoPicture(*when, shown, 1 / pixel if turn[0] == 0 else pixel, tuple(remarks))


def _turn(path: Path, frame: Any) -> Turn:
    """Return the signs of a frame's display matrix; raises InputError unless it turns by quarters."""
    try:
        stored = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know every kind of side data
        stored = None
    if stored is None:
        return _by_quarters(path, frame.rotation)
    values = np.frombuffer(bytes(stored), np.int32).reshape(3, 3)[:2, :2].ravel()
    a, b, c, d = (int(sign) for sign in np.sign(np.where(np.abs(values) < 1e-3 * np.abs(values).max(), 0, values)))
    if (abs(a), abs(b), abs(c), abs(d)) not in ((1, 0, 0, 1), (0, 1, 1, 0)):
        raise InputError(f"{path}: expected frames turned by quarters, got {frame.rotation}°; encode it again")
    return a, b, c, d


def _by_quarters(path: Path, degrees: int) -> Turn:
    known: dict[int, Turn] = {0: UPRIGHT, 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
    if degrees % 360 not in known:
        raise InputError(f"{path}: expected frames turned by quarters, got {degrees}°; encode it again")
    return known[degrees % 360]


def _check_opaque(path: Path, frame: Any, time: float) -> None:
    if frame.to_ndarray(format="rgba")[..., 3].min() < 255:
        raise InputError(
            f"{path}: expected opaque frames, got transparent pixels at {time:.3g} s; put it on the background "
            "that was shown, and encode it again"
        )
