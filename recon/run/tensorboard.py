"""Event files of TensorBoard, written in the calling thread, which thus gets the error of a full disk."""

from __future__ import annotations

import html
import itertools
import math
import os
import re
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from recon.media import Pixels, encode_gif, encode_png, film_strip, side_by_side, spread_frames, to_uint8, upscale
from recon.run.trace import GroundTruth, at_least_one, is_milestone, is_scored
from recon.types import Iterate

VERSION = "brain.Event:2"
"""Version in the first event of a file."""
_NUMBERS = itertools.count()


class EventFile:
    """An event file; every event is flushed to the operating system before the call returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._stream = (folder / name).open("wb")
        self._event(file_version=VERSION)

    def begin(self, step: int) -> None:
        """Mark the start of a run: TensorBoard drops earlier events at this step and later."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._event(step=step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Sequence[Any]) -> None:
        """Add values of a summary at a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._event(step=step, summary=Summary(value=values))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _event(self, **parts: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._stream.write(as_record(Event(wall_time=time.time(), **parts).SerializeToString()))
        self._stream.flush()


def as_record(data: bytes) -> bytes:
    """Return data as a TFRecord: its length, the length's checksum, the data and their checksum.

    TensorBoard's own writer makes the same bytes, but takes seconds for the checksum of a picture that moves: it sums
    in Python, byte by byte.
    """
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    """Return the CRC-32C of data, masked as TFRecord does: rotated by 15 bits, plus a constant."""
    from google_crc32c import value

    found = value(data)
    return struct.pack("<I", ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class TensorBoardTrace:
    """Writes scalars, film strips and movies of a running reconstruction for TensorBoard.

    Scalars are written every `every` steps, film strips (truth above reconstruction) at steps 0, 1, 2, 5, 10, 20 …,
    movies at 0, 10, 100 … and at the end. Everything that needs the true movie has a tag below "oracle/".
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int = 1,
        truth: GroundTruth | None = None,
        labels: Sequence[str] = (),
        frame_rate: float = 30.0,
        clips: int = 4,
    ) -> None:
        self.folder, self.every, self.truth = folder, at_least_one(every), truth
        self.labels, self.frame_rate, self.clips = tuple(labels), frame_rate, clips
        self._names = _tag_names(self.labels)
        self._writer: Any = None
        self._last: tuple[int, Iterate, Mapping[str, float]] | None = None
        self._logged = self._scored = self._shown = -1

    def __call__(self, step: int, iterate: Iterate, rates: Mapping[str, float]) -> None:
        if self._writer is None:
            self._open(step)
        self._last = (step, iterate, rates)
        if step % self.every == 0 or is_milestone(step):
            self._log(step, iterate, rates, scored=is_scored(step, self.every))
        if is_milestone(step):
            self._show(step, iterate, with_movie=_is_power_of_ten(step))

    def close(self) -> None:
        """Log and show the last iterate and close the event file; a later call opens a new one."""
        if self._writer is None or self._last is None:
            return
        step, iterate, rates = self._last
        if self._logged != step:
            self._log(step, iterate, rates, scored=False)
        if self._scored != step:
            self._score(step, iterate)
        if self._shown != step or not _is_power_of_ten(step):
            self._show(step, iterate, with_movie=True)
        self._writer.close()
        self._writer = None

    def __enter__(self) -> TensorBoardTrace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, step: int) -> None:
        self._writer = EventFile(self.folder)
        self._writer.begin(step)
        if self.labels:
            self._write(step, [text("clips", "\n".join(f"1. {plain(label)}" for label in self.labels))])

    def _log(self, step: int, iterate: Iterate, rates: Mapping[str, float], *, scored: bool) -> None:
        scalars = {f"run/{name}": float(value) for name, value in rates.items()}
        self._write_terms(step, scalars | self._terms("energy", iterate.terms))
        self._logged = step
        if scored:
            self._score(step, iterate)

    def _score(self, step: int, iterate: Iterate) -> None:
        if self.truth:
            self._write_terms(step, self._terms("oracle", self.truth.of(iterate)))
        self._scored = step

    def _write_terms(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, [scalar(tag, value) for tag, value in scalars.items()])

    def _terms(self, group: str, terms: Mapping[str, Tensor]) -> dict[str, float]:
        scalars: dict[str, float] = {}
        for name, tensor in terms.items():
            values = tensor.detach().double().cpu().flatten().tolist()
            scalars[f"{group}/{name}"] = sum(values) / len(values)
            if len(values) > 1:
                clips = enumerate(values)
                scalars |= {f"{group}/{name} per clip/{self._name(clip)}": value for clip, value in clips}
        return scalars

    def _name(self, clip: int) -> str:
        return self._names[clip] if clip < len(self._names) else f"clip {clip}"

    def _show(self, step: int, iterate: Iterate, *, with_movie: bool) -> None:
        values = []
        for clip in range(min(self.clips, len(iterate.movie))):
            movies = [to_uint8(movie[clip].mean(0).detach().float().cpu()) for movie in self._movies(iterate)]
            values.append(picture(self._tag("film strip", clip), encode_png(self._strip(movies)), kind="png"))
            if with_movie:
                gif = encode_gif(upscale(side_by_side(movies), 2), frame_rate=self.frame_rate)
                values.append(picture(self._tag("movie", clip), gif, kind="gif"))
        self._write(step, values)
        self._shown = step

    def _movies(self, iterate: Iterate) -> list[Tensor]:
        return [self.truth.movie, iterate.movie] if self.truth else [iterate.movie]

    def _strip(self, movies: Sequence[Pixels]) -> Pixels:
        frames = len(movies[0])
        first, tail = (self.truth.warmup, self.truth.tail) if self.truth else (0, 0)
        labels = ("truth", "reconstruction") if self.truth else ()
        return film_strip(movies, frames=spread_frames(frames, first=first, end=frames - tail), labels=labels)

    def _tag(self, kind: str, clip: int) -> str:
        return f"{'oracle/' if self.truth else ''}{kind}/{self._name(clip)}"

    def _write(self, step: int, values: Sequence[Any]) -> None:
        self._writer.add(step, values)


def _is_power_of_ten(step: int) -> bool:
    return step == 0 or step == 10 ** round(math.log10(step))


def _tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return names as tags: no separators, limited length, all different.

    >>> _tag_names(["a/b", "cats", "cats"])
    ('a_b', '1 cats', '2 cats')
    """
    names = [re.sub(r"[^\w .-]+", "_", label)[:60] for label in labels]
    return tuple(name if names.count(name) == 1 else f"{index} {name}" for index, name in enumerate(names))


def plain(text: str) -> str:
    """Return text as one line, with Markdown and HTML escaped.

    >>> plain("<b> *x*")
    '&lt;b&gt; \\\\*x\\\\*'
    """
    return re.sub(r"([\\`*_{}\[\]()#+.!|~-])", r"\\\1", html.escape(" ".join(text.split())))


def scalar(tag: str, value: float) -> Any:
    """Return one number under a tag."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=value)


def picture(tag: str, encoded: bytes, *, kind: str) -> Any:
    """Return an encoded grey picture under a tag; `kind` is "png", or "gif" for a movie."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = _size(encoded, kind)
    image = Summary.Image(height=height, width=width, colorspace=1, encoded_image_string=encoded)
    return Summary.Value(tag=tag, image=image)


def _size(encoded: bytes, kind: str) -> tuple[int, int]:
    if kind == "gif":
        return int.from_bytes(encoded[6:8], "little"), int.from_bytes(encoded[8:10], "little")
    return int.from_bytes(encoded[16:20], "big"), int.from_bytes(encoded[20:24], "big")


def text(tag: str, content: str) -> Any:
    """Return Markdown under a tag; text of users must be escaped with `plain`."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    plugin = SummaryMetadata.PluginData(plugin_name="text")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[content.encode()], tensor_shape=shape)
    return Summary.Value(tag=f"{tag}/text_summary", metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
