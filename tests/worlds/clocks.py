"""Recordings of cells that follow a movie after a known time, with clocks planted wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.data.formats.session import Session, ShownStimulus, Stream
from recon.data.layout import Array
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter

RATE, LENGTH, TRIALS, CELLS, SIZE = 30.0, 90, 30, 24, (9, 12)
LATENCY = 3
"""Frames between a frame and the response to it."""


def movies(*, seed: int, trials: int = TRIALS, frames: int = LENGTH) -> Array:
    """Return films `[trials,T,H,W]` uint8 of noise that changes within a few frames."""
    noise = np.random.default_rng(seed).normal(size=(trials, frames + 4, *SIZE))
    smooth = noise[:, :-4] + noise[:, 1:-3] + noise[:, 2:-2]
    return np.clip(128 + 35 * smooth[:, :frames], 0, 255).astype(np.uint8)


def activity(films: Array, *, seed: int, noise: float = 1.5) -> Array:
    """Return responses `[trials,N,T]`: a pixel of each cell, `LATENCY` frames earlier, and noise."""
    random = np.random.default_rng(seed + 1000)
    cells = random.choice(SIZE[0] * SIZE[1], CELLS, replace=False)
    levels = films.reshape(*films.shape[:2], -1)[..., cells].swapaxes(1, 2) / 50.0
    late = np.concatenate([np.repeat(levels[..., :1], LATENCY, -1), levels[..., :-LATENCY]], -1)
    return late + noise * random.normal(size=late.shape)


def write(
    folder: Path, films: Array, responses: Array, *, signal: str = "", onsets: Sequence[float] = ()
) -> SensoriumRecording:
    """Write films and responses as the trials of a recording."""
    made_by = {"onsets": list(onsets)} if len(onsets) else {}
    with RecordingWriter(folder, unit_ids=range(responses.shape[1]), signal=signal, made_by=made_by) as writer:
        for i, film in enumerate(films):
            writer.write_trial(i, tier="train", video=film, responses=responses[i])
    return SensoriumRecording(folder)


def ramp_session(*, lag: float = 0.0, drift: float = 0.0, frames: int = 900, start: float = 5.0) -> Session:
    """Return a session of two films whose only cell tells the time on the clock of the movie, at 20 Hz.

    Its own clock shows t + lag + drift · (t - start), `drift` in seconds per second.
    """
    times = np.arange(0.0, 100.0, 0.05)
    own = times + lag + drift * (times - start)
    shown = [
        ShownStimulus(
            begin + np.arange(frames) / RATE, begin + frames / RATE, _blank, content=f"film {begin}", tier="train"
        )
        for begin in (start, start + 40.0)
    ]
    return Session("ramp", [1], Stream(own, times[:, None]), shown, rate=RATE)


def _blank(numbers: Array) -> Array:
    return np.full((len(numbers), *SIZE), 128.0) + (numbers % 7)[:, None, None]
