"""How an HDF5 dataset is stored, checked before anything of it is read: inside the file, and of an honest size."""

from __future__ import annotations

import math
import mmap
import zlib
from pathlib import Path
from typing import Any

import h5py

from recon.data.limits import allowed, check_unpacked
from recon.errors import InputError

DEFLATE, SHUFFLE, CHECKSUM, LZF = 1, 2, 3, 32000
SIZED = {4: "szip", 5: "n-bit", 6: "scale-offset"}
"""Filters that allocate whatever size the file claims."""
INFLATED = 1032
"""Maximum of bytes that deflate unpacks from one byte."""
PIECE = 2**20
REFERENCE = 16
"""Bytes of a stored reference to a text."""
HEAP, ENTRY = b"GCOL\x01\x00\x00\x00", 16
"""Beginning of a heap of texts, and bytes of the header of each entry."""
SEARCHED = 2**30
"""Bytes of the largest file that is searched for damaged heaps."""


def check_storage(path: Path, name: str, found: h5py.Dataset) -> None:
    """Raise InputError for a dataset stored in other files, or one that unpacks to more than its file may hold."""
    if found.external or found.is_virtual:
        raise InputError(f"{path}:{name}: expected data in this file, got a link; copy the data in")
    where, one = f"{path}:{name}", _item_bytes(found)
    chunk = math.prod(found.chunks or (0,)) * one
    size = max(elements(found) * one, chunk)
    if size > allowed(0):
        check_unpacked(where, size, stored_bytes(path, found))
    filters = _filters(found)
    repeated = filters.count(DEFLATE) + filters.count(LZF) > 1
    if repeated or any(each in SIZED for each in filters):
        got = "packed twice" if repeated else ", ".join(SIZED.get(each, str(each)) for each in filters)
        raise InputError(
            f"{where}: expected data packed once, by gzip or LZF, got {got}; convert it with h5repack -f GZIP=4"
        )
    if DEFLATE in filters:
        _check_deflated(where, found, chunk, stored_bytes(path, found))


def heaps_end(path: Path) -> bool:
    """Return whether the heaps of texts are whole: HDF5 never returns from an entry of length 0.

    Files above `SEARCHED` bytes are not searched.
    """
    if not 0 < path.stat().st_size <= SEARCHED:
        return True
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(HEAP)
        while place >= 0 and _ends(content, place):
            place = content.find(HEAP, place + len(HEAP))
    return place < 0


def _ends(content: mmap.mmap, place: int) -> bool:
    """Return whether the entries of a heap lead to its end; HDF5 refuses a heap beyond the end of its file."""
    end = place + int.from_bytes(content[place + 8 : place + 16], "little")
    place += ENTRY
    while place + ENTRY <= end <= len(content):
        number, length = (int.from_bytes(content[place + a : place + b], "little") for a, b in ((0, 2), (8, 16)))
        step = (ENTRY + -(-length // 8) * 8 if number else length) % 2**64
        if not step:
            return False
        place += step
    return True


def elements(found: h5py.Dataset) -> int:
    """Return the number of elements; an axis of length 0 counts as 1, since its others may be huge."""
    return math.prod(max(int(size), 1) for size in found.shape or ())


def stored_bytes(path: Path, found: h5py.Dataset) -> int:
    """Return the bytes that a dataset takes on disk, at most the size of its file."""
    return min(int(found.id.get_storage_size()), path.stat().st_size)


def referred(found: h5py.Dataset) -> list[str]:
    """Return the names of the entries to which a dataset of references refers, in order; "" for none."""
    names = (h5py.h5r.get_name(one, found.file.id) for one in found[()].ravel())
    return [name.decode("utf-8", "replace") if name else "" for name in names]


def _item_bytes(found: h5py.Dataset) -> int:
    """Return the bytes per element, of references to texts as they are stored."""
    return max(int(found.id.get_type().get_size()), REFERENCE if found.dtype.kind == "O" else found.dtype.itemsize)


def _filters(found: h5py.Dataset) -> list[int]:
    made = found.id.get_create_plist()
    return [int(made.get_filter(place)[0]) for place in range(made.get_nfilters())]


def _check_deflated(where: str, found: h5py.Dataset, chunk: int, stored: int) -> None:
    """Raise InputError for a chunk that inflates to more than its size in the header.

    HDF5 inflates a chunk to its end before it compares sizes. Chunks that cannot exceed the limit are not inflated.
    """
    limit = allowed(stored)
    if INFLATED * stored <= limit:
        return
    filters = _filters(found)
    place = filters.index(DEFLATE)
    plain = not set(filters[place + 1 :]) - {CHECKSUM}
    for offset, size in _deflated(found, place, limit // INFLATED):
        if size > stored or not plain or not _fits(found, offset, chunk):
            raise InputError(f"{where}: expected chunks that unpack to {chunk} bytes, got others; write the file again")


def _deflated(found: h5py.Dataset, place: int, least: int) -> list[tuple[tuple[int, ...], int]]:
    """Return offsets and stored bytes of deflated chunks above `least` bytes; `place` is that of the filter."""
    large: list[tuple[tuple[int, ...], int]] = []

    def keep(about: Any) -> None:
        if about.size > least and not about.filter_mask >> place & 1:
            large.append((tuple(about.chunk_offset), int(about.size)))

    found.id.chunk_iter(keep)
    return large


def _fits(found: h5py.Dataset, offset: tuple[int, ...], chunk: int) -> bool:
    """Return whether a stored chunk inflates to at most `chunk` bytes; damage is left to the reader."""
    _, packed = found.id.read_direct_chunk(offset)
    stream, size = zlib.decompressobj(), 0
    try:
        while packed and not stream.eof and size <= chunk:
            size += len(stream.decompress(packed, PIECE))
            packed = stream.unconsumed_tail
    except zlib.error:
        return True
    return size <= chunk
