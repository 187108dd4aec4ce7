"""Download of public files: fetched once, verified by checksum, unpacked if archives."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from recon.data.public.archives import unpack
from recon.data.public.catalogue import PublicFile
from recon.data.public.download import LIMIT, Download
from recon.errors import InputError
from recon.files import write_bytes
from recon.files.locks import one_at_a_time
from recon.files.paths import user_path

Say = Callable[[str], None]


def fetch_public(
    item: PublicFile, folder: Path | str, *, accepted: bool, say: Say = lambda _: None, limit: int = LIMIT
) -> Path:
    """Download a public file to `folder` and return its path, or the unpacked folder of an archive.

    An existing file is only verified. An interrupted download stays in `NAME.partial`, and the next call resumes it.
    The checksum is the published one, or else that of the first download, stored in `NAME.sha256`. Concurrent calls
    wait for each other. Raises InputError unless the licence is `accepted`, and for a file of more than its published
    or stated size, or of more than `limit` bytes where there is neither.
    """
    if not accepted:
        raise InputError(
            f"{item.name}: expected its licence to be accepted, got no --accept-licence; read {item.home} "
            "and run the same command with --accept-licence"
        )
    folder = user_path(folder)
    _make(folder)
    target, unpacked = folder / item.file, folder / Path(item.file).stem
    with one_at_a_time(target, waiting=lambda: say(f"{item.name}: another command is downloading it; waiting")):
        if target.exists():
            _check(target, item, remedy=f"delete {target} and run the same command again")
        elif item.unpack and unpacked.is_dir() and any(unpacked.iterdir()):
            return unpacked
        else:
            _download(item, target, limit)
    return unpack(target, unpacked) if item.unpack else target


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: expected to make this folder, got {error}; name another with --to") from error


def _download(item: PublicFile, target: Path, limit: int) -> None:
    """Download to a hidden folder, verify, and move the complete file to `target`."""
    aside = target.with_name(f".{target.name}.arriving")
    arrived = aside / target.name
    try:
        if not arrived.exists():
            _make(aside)
            partial = target.with_name(f"{target.name}.partial")
            Download(partial, home=item.home, size=item.size, limit=limit).fetch(item.url, arrived)
        _check_kind(arrived, item)
        _check(arrived, item, remedy=f"it was removed: run the same command again, or look at {item.home}", keep=target)
        arrived.replace(target)
    except InputError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # Skipped on an interrupt: the next call reuses a complete file whose checksum was still being computed.
    shutil.rmtree(aside, ignore_errors=True)


def _check_kind(file: Path, item: PublicFile) -> None:
    if item.unpack and not zipfile.is_zipfile(file):
        raise InputError(
            f"{item.file}: expected a zip archive, got {file.stat().st_size} bytes of something else from {item.url}; "
            f"it was removed: look at {item.home}"
        )


def _check(file: Path, item: PublicFile, *, remedy: str, keep: Path | None = None) -> None:
    """Compare a file's checksum with the published or stored one; if there is neither, store it beside `keep`."""
    record = (keep or file).with_name(f"{item.file}.sha256")
    expected = item.checksum or _recorded(record)
    algorithm = expected.partition(":")[0] if expected else "sha256"
    with file.open("rb") as stream:
        found = f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
    if expected is None:
        write_bytes(record, f"{found.partition(':')[2]}  {item.file}\n".encode())
    elif found != expected.lower():
        known = "published" if item.checksum else f"kept at the first download in {record}"
        also = "" if item.checksum else "; delete that record if the publisher has changed the file"
        raise InputError(f"{item.file}: expected the checksum {expected} ({known}), got {found}; {remedy}{also}")


def _recorded(record: Path) -> str | None:
    """Return the stored checksum; None if the record is missing or damaged."""
    words = record.read_text("utf-8", errors="replace").split() if record.is_file() else []
    return f"sha256:{words[0]}" if words and re.fullmatch(r"[0-9a-f]{64}", words[0]) else None
