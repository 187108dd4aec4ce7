"""Event files of TensorBoard, written in the calling thread, which thus gets the error of a full disk."""

from __future__ import annotations

import html
import itertools
import os
import re
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
