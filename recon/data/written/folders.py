"""Folders in other formats, written aside and renamed: complete or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon.data.hidden_folders import open_hidden, replace_folder
from recon.data.writer import check_destination


@contextmanager
def new_folder(destination: Path, kind: str, own: re.Pattern[str], *, overwrite: bool) -> Iterator[Path]:
    """Yield a hidden folder beside `destination`, which gets its name on exit; after an error it is removed.

    `kind` marks the folder as ours; `own` matches the names of its files, so that nothing else is overwritten.
    """
    destination = destination.absolute()
    check_destination(destination, overwrite=overwrite, kind=kind, own=own)
    aside, lock = open_hidden(destination, kind)
    try:
        yield aside
        check_destination(destination, overwrite=overwrite, kind=kind, own=own)
        replace_folder(aside, destination)
    finally:
        lock.release()
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file of a folder that is flushed and renamed whole, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
