"""Catalogue of public recordings, weights and stimuli: addresses, licences and checksums, from `public.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from recon.errors import InputError, did_you_mean


@dataclass(frozen=True)
class PublicFile:
    """One published file.

    `file` is the local name, `folder` the default destination, `home` the publisher's page, and `checked` the part of
    the address that was found in public text. `size` (bytes) and `checksum` ("algorithm:hexadecimal") are None if
    unpublished. `unpack` marks a zip archive to be unpacked.
    """

    name: str
    file: str
    url: str
    about: str
    licence: str
    home: str
    checked: str
    folder: str = "recordings"
    unpack: bool = False
    checksum: str | None = None
    size: int | None = None


@cache
def public_files() -> dict[str, PublicFile]:
    """Return all public files by name."""
    known = [_file(group, entry) for group in _groups() for entry in group["files"]]
    return {item.name: item for item in known}


def public_file(name: str) -> PublicFile:
    """Return a public file by name; raises InputError with the closest match for an unknown name."""
    known = public_files()
    if name not in known:
        hint = did_you_mean(name, known)
        raise InputError(f"name: expected a public file{hint}, got {name!r}; `recon data fetch --list` shows them all")
    return known[name]


def listing() -> Iterator[str]:
    """Yield the lines of a listing of all public files by group."""
    for group in _groups():
        yield f"{group['about']}: {group['home']}"
        yield f"  licence: {group['licence']}"
        yield f"  address: read {group['checked']}"
        for entry in group["files"]:
            yield f"  {entry['name']:<24} {entry['about']}"


def _groups() -> list[dict[str, Any]]:
    text = files("recon.data").joinpath("public.json").read_text(encoding="utf-8")
    groups: list[dict[str, Any]] = json.loads(text)["groups"]
    return groups


def _file(group: dict[str, Any], entry: dict[str, Any]) -> PublicFile:
    return PublicFile(
        name=entry["name"],
        file=Path(entry["file"]).name,
        url=group["address"] + entry.get("path", entry["file"]),
        about=f"{group['about']}: {entry['about']}",
        licence=group["licence"],
        home=group["home"],
        checked=group["checked"],
        folder=group["folder"],
        unpack=group["unpack"],
        checksum=entry.get("checksum"),
        size=entry.get("size"),
    )
