"""Paths that a person gives: `~` is the home folder, and `FILE:NAME` names a part of a file."""

from __future__ import annotations

import os
from pathlib import Path

from recon.errors import InputError


def user_path(path: str | Path) -> Path:
    """Return a path with `~` and `~name` replaced by the home folder; a file of that name needs `./~name`.

    >>> user_path("~").is_absolute(), user_path("data/~mouse").as_posix()
    (True, 'data/~mouse')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no user of this name: `~$session.mat` is a file
        return Path(path)


def named_part(source: str | Path) -> tuple[Path, str]:
    """Return the file and the name of `FILE:NAME`; the path may hold colons itself, where such a file exists.

    >>> named_part("all.npz:movie"), named_part("movie.npy")
    ((PosixPath('all.npz'), 'movie'), (PosixPath('movie.npy'), ''))
    """
    text = str(source)
    cuts = [place for place, character in enumerate(text) if character == ":"]
    for end in (len(text), *reversed(cuts)):
        if _is_file(user_path(text[:end])):
            return user_path(text[:end]), text[end + 1 :]
    path, _, name = text.partition(":")
    return user_path(path), name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False


def check_writable(folder: Path, *, key: str) -> None:
    """Raise InputError where a folder, or the one in which it would be made, can only be read; `key` names another."""
    place = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
    if not os.access(place, os.W_OK):
        inside = "" if place == folder else f" in {place}"
        raise InputError(
            f"{key}: expected a folder that can be written to, got {folder}{inside}, which can only be read; name "
            f"another: {key}=FOLDER"
        )
