"""Hashing a recording of one gigabyte: read once, then known by its manifest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from recon.data import content
from recon.data.open import open_recording

pytestmark = [pytest.mark.slow, pytest.mark.alone]

TRIALS, SIZE = 250, 4 * 2**20
"""As many files as trials; bytes of each."""


def test_a_large_recording_is_read_once(published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECON_CACHE", str(tmp_path / "cache"))
    root = published(tiers=("train",) * TRIALS, neurons=SIZE // 320, frames=80, padding=0)
    for file in root.rglob("*.npy"):
        os.utime(file, ns=(0, 0))
    size = sum(file.stat().st_size for file in root.rglob("*.npy"))
    assert size > 2**30
    time.sleep(content.MARGIN / 1e9 + 0.5)
    first, whole = _timed(root)
    monkeypatch.setattr(content, "_hash", lambda *_: pytest.fail("a file was read again"))
    second, again = _timed(root)
    assert again == whole
    assert second < 1 and first > 4 * second, f"{size / 1e9:.2f} GB: {first:.2f} s, then {second:.3f} s"


def _timed(root: Path) -> tuple[float, tuple[str, str]]:
    begun = time.perf_counter()
    recording = open_recording(root)
    found = recording.fingerprint(), recording.learning_fingerprint()
    return time.perf_counter() - begun, found
