"""Event files of TensorBoard, with checksums by NumPy: TensorBoard's own writer needs a third of a second a movie."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed."""
PREFIX = bytes.fromhex("54641f64")
"""Four bytes after which a register of zero is all ones, as a CRC-32C begins; zeros before them change nothing."""
ALL = 0xFFFFFFFF
BITS = np.arange(32, dtype=np.uint32)
_opened = itertools.count()


class EventFile:
    """A file of events in a folder that TensorBoard watches; each event is there at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Files of one run are read in the order of their names.
        made_by = f"{socket.gethostname()}.{os.getpid()}.{next(_opened):06d}"
        self._file = (folder / f"events.out.tfevents.{int(time.time()):010d}.{made_by}").open("wb", buffering=0)

        from tensorboard.compat.proto.event_pb2 import Event

        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event: Any) -> None:
        """Append an event: its length and its bytes, each followed by its masked checksum."""
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked(length) + data + _masked(data))

    def close(self) -> None:
        """End the file."""
        self._file.close()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes: a row of pieces at once, joined two by two.

    A CRC is linear over bits, so that of two pieces is that of the first, moved on by the length of the second, xor
    that of the second.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    given = np.frombuffer(PREFIX + data, np.uint8)
    pieces = 1 << (len(given).bit_length() // 2)
    length = -(-len(given) // pieces)
    padded = np.zeros((pieces, length), np.uint8)
    padded.reshape(-1)[pieces * length - len(given) :] = given
    registers = np.concatenate([np.zeros(pieces, np.uint32), np.uint32(1) << BITS])
    for column in np.concatenate([padded, np.zeros((32, length), np.uint8)]).T.copy():
        registers = _TABLE[(registers ^ column) & 0xFF] ^ (registers >> np.uint32(8))
    found, moved = registers[:pieces], registers[pieces:]
    while len(found) > 1:
        found = _applied(moved, found[::2]) ^ found[1::2]
        moved = _applied(moved, moved)
    return int(found[0]) ^ ALL


def _applied(moved: Words, registers: Words) -> Words:
    """Return registers after the linear map that takes bit b to `moved[b]`."""
    chosen = (registers[:, None] >> BITS & 1) * moved
    found: Words = np.bitwise_xor.reduce(chosen, axis=1)
    return found


def _table() -> Words:
    registers = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        registers = (registers >> np.uint32(1)) ^ (registers & np.uint32(1)) * np.uint32(POLYNOMIAL)
    return registers


_TABLE = _table()


def _masked(data: bytes) -> bytes:
    """Return the checksum as TFRecord files hold it: rotated, and a constant added."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & ALL)
