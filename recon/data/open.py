"""Opening of recordings: canonical folders are read in place, other formats are converted once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recon.data.content import content_of
from recon.data.duplicates.find import Progress
from recon.data.formats import FORMATS, known_format
from recon.data.formats.convert import Conversion, convert
from recon.data.header import read_header
from recon.data.layout import TIERS_FILE, is_canonical
from recon.data.public.archives import unpack
from recon.data.sensorium import SensoriumRecording
from recon.errors import InputError
from recon.files import write_json
from recon.files.locks import one_at_a_time
from recon.files.paths import user_path

IGNORED = "__MACOSX"
MARK = ".unpacked.json"
"""File in an unpacked folder with the content hash of its archive."""
FRAMES = "aspect ratio kept, grey scale by type and extremes"
"""How frames are read and resized; what was converted in another way is converted again."""


def bar(items: Sequence[int]) -> Iterable[int]:
    """Iterate over items with a progress bar if the output is a terminal."""
    shown: Iterable[int] = tqdm(items, unit="trial", leave=False, disable=None)
    return shown


def open_recording(path: Path | str, *, progress: Progress = bar, lenient: bool = False) -> SensoriumRecording:
    """Open the recording in a folder, or in its only subfolder (`__MACOSX` is ignored).

    A `.zip` is unpacked once, to a folder of the same name beside it. Files and folders of other formats are converted
    with the default settings of `recon data convert` to `NAME.recording` beside them, and again if their content
    changed.

    A folder may hold the only recording in it, of any format. `lenient`: for a check, which reports ids that cannot be
    used.
    """
    root = _named(path)
    if root.suffix == ".zip" and not root.is_dir():
        root = _unpacked(root)
    if is_canonical(root):
        return SensoriumRecording(root, lenient=lenient)
    kind = known_format(root) if root.exists() else ""
    if kind:
        return _converted(root, kind, progress)
    if not root.is_dir():
        raise InputError(
            f"{root}: expected the folder of a recording, got {'a file' if root.exists() else 'nothing'}; "
            "check the path, or make a recording with `recon simulate`, `recon data import` or `recon data convert`"
        )
    return open_recording(_only_one(root), progress=progress, lenient=lenient)


def _named(path: Path | str) -> Path:
    """Return the path of a recording; `.` and `..`, which name no folder, in full, as what is made lies beside it."""
    root = user_path(path)
    return root.resolve() if root.name in ("", "..") else root


def _unpacked(archive: Path) -> Path:
    """Return the folder of an archive, unpacked if it is missing; raises InputError if it is from another archive."""
    folder = archive.with_suffix("")
    mark = folder / MARK
    if not (folder.is_dir() and any(folder.iterdir())):
        unpack(archive)
        write_json(mark, {"archive": archive.name, "content": content_of(archive)})
    elif mark.is_file() and archive.is_file() and _read_mark(mark) != content_of(archive):
        raise InputError(
            f"{archive}: expected the archive from which {folder} was unpacked, got one of other content; "
            f"remove that folder to unpack this one, or name the folder to open it"
        )
    return unpack(archive)


def _read_mark(mark: Path) -> str:
    """Return the content hash of the archive from which a folder was unpacked; "" if the file is damaged."""
    try:
        return str(json.loads(mark.read_bytes())["content"])
    except (ValueError, KeyError, TypeError):
        return ""


def _only_one(root: Path) -> Path:
    """Return the only recording in a folder."""
    inside = [path for path in sorted(root.iterdir()) if path.name != IGNORED and not path.name.startswith(".")]
    found = [path for path in inside if path.is_dir() and (path / TIERS_FILE).exists()]
    found = found or [path for path in inside if known_format(path)]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{root}: expected one recording with {TIERS_FILE}, got {names}; "
            "name the folder of one animal, or make one with `recon data import` or `recon data convert`"
        )
    return found[0]


def _converted(source: Path, kind: str, progress: Progress) -> SensoriumRecording:
    """Return the recording converted from a source of another format; convert if it is missing or outdated."""
    folder = source.with_name(f"{source.name}.recording")
    state = {"opened": source.name, "format": kind, "content": content_of(source), "frames": FRAMES}
    # Without the lock first: a recording is complete or absent, and no lock can be made on a disk that is only read.
    if _made_by(folder).items() >= state.items():
        return SensoriumRecording(folder)
    command = shlex.join(["recon", "data", "convert", str(source), "FOLDER"])
    with one_at_a_time(folder, remedy=f"convert it to another place: {command}"):
        if _made_by(folder).items() >= state.items():
            return SensoriumRecording(folder)
        session = FORMATS[kind].read(source)
        session = replace(session, origin={**session.origin, **state})
        return convert(session, folder, Conversion(), overwrite=bool(_made_by(folder)), progress=progress)


def _made_by(folder: Path) -> Mapping[str, Any]:
    """Return the provenance of a recording converted by `open_recording`; empty for all others (never overwritten)."""
    made_by: Mapping[str, Any] = read_header(folder)["made_by"]
    return made_by if "opened" in made_by else {}
