"""Downloads from a server on loopback: their content, what is asked for, what stands in the folder."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from worlds.web_server import Site

from recon.data.public import download
from recon.data.public.catalogue import PublicFile
from recon.data.public.fetch import fetch_public

NOISE = np.random.default_rng(0).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 1_000_000, dtype=np.uint8).tobytes()
PART = 10 * download.CHUNK
HOME = "https://example.org/mouse"


def item(site: Site, **changes: object) -> PublicFile:
    about = {"about": "a mouse", "licence": "CC BY-NC-ND 4.0", "home": HOME, "checked": "here"}
    return dataclasses.replace(PublicFile("mouse", "mouse.zip", site.url, **about), **changes)


def seen(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def fails(wanted: PublicFile, folder: Path) -> str:
    """Fetch, expect an error of one line, and return it."""
    with pytest.raises(ValueError) as caught:
        fetch_public(wanted, folder, accepted=True)
    assert "\n" not in str(caught.value) and ": expected " in str(caught.value) and not (folder / wanted.file).exists()
    return str(caught.value)
