"""Conversions keep the aspect ratio of the movie, and degrees per pixel are those of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.data.formats.convert import Conversion, convert
from recon.data.formats.session import Session, ShownStimulus, Stream
from recon.data.layout import Array
from recon.data.resize import resizing

FILMS = np.random.default_rng(0).integers(0, 256, (6, 60, 24, 48), dtype=np.uint8)


def session(films: Array = FILMS, **more: Any) -> Session:
    """Return a session of films at 30 Hz, and two units that count frames."""
    onsets = [np.arange(len(film)) / 30 + 10 * number for number, film in enumerate(films)]
    shown = [
        ShownStimulus(times, times[-1] + 1 / 30, lambda numbers, film=film: film[numbers], str(number))
        for number, (times, film) in enumerate(zip(onsets, films, strict=True))
    ]
    times = np.arange(0, 70, 1 / 30)
    return Session("session", (0, 1), Stream(times, np.stack([times, times], 1)), shown, **more)


def test_the_default_keeps_the_aspect_ratio(tmp_path: Path) -> None:
    small = convert(session(), tmp_path / "small")
    assert small.frame_size == (24, 48)  # within 36×64: as it is
    wide = convert(session(np.kron(FILMS, np.ones((1, 1, 4, 4), np.uint8))), tmp_path / "wide")
    assert wide.frame_size == (32, 64)  # 96×192, not squashed to 36×64
    assert "resized from 96×192 to 32×64" in " ".join(wide.made_by["notes"])


def test_degrees_are_rescaled_with_the_frames(tmp_path: Path) -> None:
    settings = Conversion(frame_size=(12, 24), degrees_per_pixel=1.5)
    assert convert(session(), tmp_path / "a", settings).degrees_per_pixel == pytest.approx(3.0)
    known = convert(session(degrees_per_pixel=2.0), tmp_path / "b", Conversion(frame_size=(12, 24)))
    assert known.degrees_per_pixel == pytest.approx(4.0)
    unknown = convert(session(), tmp_path / "c", Conversion(frame_size=(12, 24)))
    assert unknown.degrees_per_pixel == 1.45
    assert "degrees per pixel are unknown: 1.45 is assumed" in unknown.made_by["notes"]


def test_another_aspect_ratio_is_refused_or_cropped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="squashes it; take 8×16, or crop to the central 24×43 pixels"):
        convert(session(), tmp_path / "r", Conversion(frame_size=(9, 16)))
    assert list(tmp_path.iterdir()) == []
    cropped = convert(session(), tmp_path / "r", Conversion(frame_size=(12, 12), crop=True, degrees_per_pixel=1.5))
    assert cropped.degrees_per_pixel == pytest.approx(3.0)
    expected = FILMS[0, :, :, 12:36].reshape(60, 12, 2, 12, 2).mean((2, 4))
    assert np.abs(cropped.frames(0) - expected).max() <= 0.51


@pytest.mark.parametrize("source", [(144, 256), (90, 160), (1080, 1920), (101, 150), (480, 640)])
def test_a_crop_and_a_resize_show_the_middle(source: tuple[int, int]) -> None:
    y, x = (np.arange(size, dtype=np.float32) - (size - 1) / 2 for size in source)
    framed = resizing(source, (36, 64), crop=True)
    ramp = framed.apply((y[:, None] + 0 * x[None])[None])[0]
    steps = np.diff(ramp[:, 0])
    assert abs(float(ramp.mean())) < 0.51 and steps.std() < 0.15
    assert framed.degrees(1.0) == pytest.approx(float(steps.mean()), rel=0.02)
