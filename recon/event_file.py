"""Event files of TensorBoard, written in the thread of whoever writes: where the disk is full, it hears of that."""

from __future__ import annotations

import itertools
import os
import socket
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
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._stream = (folder / name).open("wb")
        self._records = RecordWriter(self._stream)
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

        self._records.write(Event(wall_time=time.time(), **parts).SerializeToString())
        self._stream.flush()
