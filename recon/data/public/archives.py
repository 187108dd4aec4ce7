"""Safe unpacking of zip archives: complete or not at all, and never outside the target folder."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from recon.errors import InputError
from recon.files import flush_all
from recon.files.locks import one_at_a_time
from recon.files.paths import user_path

MAX_RATIO = 100
"""Maximum ratio of unpacked to packed bytes: recordings stay below it, zip bombs exceed it at least tenfold."""
SMALL = 64 * 2**20
"""Bytes that are unpacked at any ratio: a small file of zeros is harmless."""
CHUNK = 2**20
IGNORED = ("__MACOSX", ".DS_Store")
UNSAFE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00|\\")
"""Absolute paths, drive letters, `..`, NUL, and backslashes (a path separator on Windows only)."""

DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError)

Member = tuple[zipfile.ZipInfo, PurePosixPath]


def unpack(archive: Path | str, folder: Path | str | None = None) -> Path:
    """Unpack a zip archive into a folder (default: its name without .zip) and return the folder.

    A non-empty folder is returned as it is. Unpacking is atomic: into a temporary folder, which is then renamed. A
    single top-level folder is dropped, as are the files that macOS adds (`__MACOSX`). Raises InputError for unsafe
    paths, links, passwords, damage, an implausible compression ratio, and insufficient disk space.
    """
    archive = user_path(archive)
    folder = archive.with_suffix("") if folder is None else user_path(folder)
    if _is_unpacked(folder):
        return folder
    if not archive.is_file():
        raise InputError(f"{archive}: expected a zip archive, got none; check the path or fetch it again")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected room for a folder of this name, got a file; move or rename it")
    with _as_input_errors(archive, folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _unpack_once(archive, folder)
    return folder


def _is_unpacked(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _unpack_once(archive: Path, folder: Path) -> None:
    with one_at_a_time(folder, remedy="unpack it by hand elsewhere and name that folder"):
        if not _is_unpacked(folder):
            _unpack_aside(archive, folder)


def _unpack_aside(archive: Path, folder: Path) -> None:
    prefix = f".{folder.name}.unpacking-"
    for left in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with zipfile.ZipFile(archive) as opened:
        members = _members(archive, opened.infolist())
        _check_size(archive, members, free=shutil.disk_usage(folder.parent).free)
        aside = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            aside.chmod(0o755)
            _write(opened, members, aside)
            flush_all(aside)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _members(archive: Path, infos: Sequence[zipfile.ZipInfo]) -> list[Member]:
    """Return the files of an archive with their checked target paths."""
    for info in infos:
        _check_member(archive, info)
    named = [(info, PurePosixPath(info.filename)) for info in infos if not info.is_dir()]
    kept = [(info, path) for info, path in named if not _is_ignored(path)]
    if not kept:
        raise InputError(f"{archive}: expected files, got an archive without any; fetch it again")
    if len({path for _, path in kept}) < len(kept):
        raise InputError(f"{archive}: expected every name once, got one twice; this archive is not to be trusted")
    if len({path.parts[0] for _, path in kept}) == 1 and all(len(path.parts) > 1 for _, path in kept):
        return [(info, PurePosixPath(*path.parts[1:])) for info, path in kept]
    return kept


def _is_ignored(path: PurePosixPath) -> bool:
    return any(part in IGNORED for part in path.parts) or path.name.startswith("._")


def _check_member(archive: Path, info: zipfile.ZipInfo) -> None:
    # zipfile truncates names at a NUL, so the check uses the original name.
    kind = stat.S_IFMT(info.external_attr >> 16)
    nameless = not info.is_dir() and not PurePosixPath(info.filename).parts
    if nameless or UNSAFE.search(info.orig_filename):
        raise InputError(
            f"{archive}: expected names inside the archive's own folder, got {info.orig_filename!r}; "
            "nothing was unpacked, this archive is not to be trusted"
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(
            f"{archive}: expected files and folders, got the link or device {info.filename!r}; "
            "nothing was unpacked, this archive is not to be trusted"
        )
    if info.flag_bits & 1:
        raise InputError(f"{archive}: expected no password, got one on {info.filename!r}; unpack it by hand")


def _check_size(archive: Path, members: Sequence[Member], *, free: int) -> None:
    # The ratio uses the size of the archive, not the packed sizes of its members: members of a zip bomb overlap.
    packed, unpacked = archive.stat().st_size, sum(info.file_size for info, _ in members)
    if unpacked > max(SMALL, MAX_RATIO * packed):
        raise InputError(
            f"{archive}: expected at most {MAX_RATIO} bytes for one packed byte, got {unpacked / packed:.0f}; "
            "nothing was unpacked, this archive is not to be trusted"
        )
    if unpacked > free:
        raise InputError(
            f"{archive}: expected {unpacked / 1e9:.2f} GB of free disk to unpack it, got {free / 1e9:.2f} GB; "
            "free some space or move the archive to another disk"
        )


def _write(opened: zipfile.ZipFile, members: Sequence[Member], aside: Path) -> None:
    from tqdm import tqdm

    total = sum(info.file_size for info, _ in members)
    with tqdm(total=total, unit="B", unit_scale=True, desc="unpacking", leave=False, disable=None) as bar:
        for info, path in members:
            target = aside.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_member(opened, info, target, bar.update)


def _write_member(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, advance: Callable[[int], object]
) -> None:
    """Write one file; zipfile reads at most the announced size and verifies the CRC."""
    left = info.file_size
    with opened.open(info) as source, target.open("xb") as stream:
        while chunk := source.read(CHUNK):
            stream.write(chunk)
            advance(len(chunk))
            left -= len(chunk)
    if left:
        raise EOFError(f"{info.filename} ends {left} bytes early")


@contextmanager
def _as_input_errors(archive: Path, folder: Path) -> Iterator[None]:
    """Turn archive and disk errors into InputErrors."""
    # zipfile raises RuntimeError for unsupported compression; the last two mean a file in the place of a folder.
    try:
        yield
    except (*DAMAGE, FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{archive}: expected a whole zip archive, got a damaged one ({error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        raise InputError(
            f"{archive}: expected to unpack it to {folder}, got {error}; free some space, or unpack it by hand "
            "elsewhere and name that folder"
        ) from error
