"""Compressed arrays (.npy.gz, .npz, MATLAB 5 files), never unpacked beyond their headers and the limit."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Literal, cast

import numpy as np

from recon.data.layout import Array
from recon.data.limits import check_unpacked
from recon.errors import InputError

USUAL = (ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError, ArithmeticError, MemoryError)
PACKED = (zipfile.BadZipFile, zlib.error, struct.error)
DAMAGED = (*USUAL, *PACKED, SyntaxError, AttributeError, AssertionError, TokenError)
"""Exceptions that numpy and scipy raise for damaged files."""
PIECE = 2**20
HEADER = 2**16
"""Maximum length of an .npy header."""
NUMBERS = (
    "double",
    "single",
    "logical",
    "char",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
"""Classes of MATLAB variables that are read; others hide how much they hold."""
CELLS = "cell"
"""Class of a list of texts; it holds at most one number per stored byte."""
MATLAB_HEADER, COMPRESSED = 128, 15


def read_gzipped(file: Path) -> Array:
    """Return the array of a .npy.gz file; raises InputError for a damaged one and above the limit."""
    try:
        with gzip.open(file, "rb") as stream:
            return _read(str(file), cast(IO[bytes], stream), file.stat().st_size)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{file}: expected complete numpy arrays, got {error}; save the file again") from error


def read_archived(file: Path, key: str) -> Array:
    """Return an array of a .npz archive by name; the name may be empty if there is only one."""
    try:
        with zipfile.ZipFile(file) as archive:
            key = pick(file, key, [name.removesuffix(".npy") for name in archive.namelist()])
            return _read_member(file, archive, key)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{file}: expected complete numpy arrays, got {error}; save the file again") from error


def _read_member(file: Path, archive: zipfile.ZipFile, key: str) -> Array:
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{file}:{key}: expected an array of numpy.savez, got another; save the file again")
    with archive.open(member) as stream:
        return _read(f"{file}:{key}", stream, file.stat().st_size)


def read_matlab(file: Path, key: str) -> Array:
    """Return an array of numbers or texts of a MATLAB file older than version 7.3 (newer files are HDF5)."""
    from scipy.io import loadmat, whosmat

    try:
        sizes = _element_sizes(file)
        known = {about[0]: (*about[1:], size) for about, size in zip(whosmat(file), sizes, strict=False)}
        key = pick(file, key, [name for name in known if not name.startswith("__")])
        shape, kind, size = known[key]
        if kind not in (*NUMBERS, CELLS):
            raise InputError(f"{file}:{key}: expected an array of numbers, got a {kind}; name another variable")
        count = max(math.prod(max(int(side), 1) for side in shape), size if kind == CELLS else 0)
        check_unpacked(f"{file}:{key}", 8 * count, file.stat().st_size)
        found: Array = loadmat(file, variable_names=[key])[key]
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{file}: expected a whole MATLAB file, got {error}; save the file again") from error
    return found


def pick(file: Path, key: str, names: list[str]) -> str:
    """Return the name that is asked for, or the only one."""
    if not key and len(names) == 1:
        key = names[0]
    if key not in names:
        raise InputError(f"{file}: expected FILE:NAME with one of {names}, got {key or 'no name'}; add it")
    return key


def _read(name: str, stream: IO[bytes], stored: int) -> Array:
    """Return the array of an .npy stream; as many bytes are unpacked as its header promises."""
    shape, in_columns, kind = _header(name, stream)
    if kind.hasobject:
        raise InputError(f"{name}: expected plain numbers or strings, got Python objects; save the array as numbers")
    size = math.prod(max(side, 1) for side in shape) * kind.itemsize
    check_unpacked(name, size, stored)
    flat = np.empty(math.prod(shape), kind)
    left = memoryview(flat.view(np.uint8).data if kind.itemsize and flat.size else b"")
    while len(left):
        piece = stream.read(min(len(left), PIECE))
        if not piece:
            raise EOFError(f"an array cut {len(left)} bytes before its end")
        left[: len(piece)] = piece
        left = left[len(piece) :]
    stream.read(1)  # the checksum is compared at the end
    order: Literal["F", "C"] = "F" if in_columns else "C"
    return flat.reshape(shape, order=order)


def _header(name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether columns come first, and dtype; numpy would read a header of up to 4 GB."""
    begin = stream.read(8)
    major = np.lib.format.read_magic(io.BytesIO(begin))[0]
    if major not in (1, 2):
        raise InputError(f"{name}: expected .npy version 1 or 2, got {major}; save the array as plain numbers")
    width = stream.read(2 if major == 1 else 4)
    length = int.from_bytes(width, "little")
    if length > HEADER:
        raise InputError(f"{name}: expected a header of at most {HEADER} bytes, got {length}; save the file again")
    whole = io.BytesIO(width + stream.read(length))
    parse = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, in_columns, kind = parse(whole)
    if any(side < 0 for side in shape):
        raise InputError(f"{name}: expected lengths of at least 0, got {shape}; save the file again")
    return shape, in_columns, kind


def _element_sizes(file: Path) -> list[int]:
    """Return the unpacked bytes of every variable; raises InputError above the limit.

    Lengths inside a compressed variable are claims as well, so each is inflated once, in pieces that are not kept.
    """
    stored, sizes = file.stat().st_size, []
    with file.open("rb") as stream:
        mark = stream.read(MATLAB_HEADER)[-2:]
        order: Literal["little", "big"] = "little" if mark == b"IM" else "big"
        while len(tag := stream.read(8)) == 8:
            kind, length = (int.from_bytes(part, order) for part in (tag[:4], tag[4:]))
            end = min(stream.tell() + length, stored)
            sizes.append(_inflated(file, stream, length) if kind == COMPRESSED else length)
            stream.seek(end)
    return sizes


def _inflated(file: Path, stream: IO[bytes], length: int) -> int:
    inflating, size, stored = zlib.decompressobj(), 0, file.stat().st_size
    while length > 0 and not inflating.eof and (packed := stream.read(min(length, PIECE))):
        length -= len(packed)
        while packed and not inflating.eof:
            size += len(inflating.decompress(packed, PIECE))
            packed = inflating.unconsumed_tail
            check_unpacked(str(file), size, stored)
    return size
