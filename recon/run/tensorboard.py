"""Event files of TensorBoard, written in the thread of whoever writes: where the disk is full, it hears of that."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VERSION = "brain.Event:2"
"""What the first event of a file says."""
_NUMBERS = itertools.count()


class EventFile:
    """A file in a folder of events; every event is with the operating system before the call returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._stream = (folder / name).open("wb")
        self._event(file_version=VERSION)

    def begin(self, step: int) -> None:
        """Say that a run begins or goes on: what was written before at this step and later, TensorBoard forgets."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._event(step=step, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Sequence[Any]) -> None:
        """Add values of a summary at a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._event(step=step, summary=Summary(value=values))

    def close(self) -> None:
        """End the file."""
        self._stream.close()

    def _event(self, **parts: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._stream.write(as_record(Event(wall_time=time.time(), **parts).SerializeToString()))
        self._stream.flush()


def as_record(data: bytes) -> bytes:
    """Return data as a record of TensorFlow's: its length, the length's checksum, the data and their checksum.

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
