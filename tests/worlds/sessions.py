"""Films that sessions of every format show, how these are converted, and whether their clocks are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from worlds import formats as worlds

from recon.data.formats import FORMATS, format_of
from recon.data.formats.convert import Conversion
from recon.data.formats.session import Session
from recon.data.sensorium import SensoriumRecording

CELLS = np.random.default_rng(5).permutation(worlds.ROWS * worlds.COLUMNS)[: worlds.UNITS]
SETTINGS = Conversion(frame_size=(worlds.ROWS, worlds.COLUMNS), trial_frames=90, shortest=45, lag=worlds.LATENCY)


def films(rate: float, *, jitter: float = 0.0) -> list[worlds.Film]:
    return [worlds.film(4, rate=rate, start=1 + 6 * k, seed=10 + k, jitter=jitter) for k in range(8)]


def session_of(path: Path) -> Session:
    return FORMATS[format_of(path)].read(path)


def agreement(recording: SensoriumRecording, *, shift: int = 0) -> float:
    """Return the mean correlation of every unit's responses with the grey level of its cell, `shift` frames before."""
    responses, levels = [], []
    for index in range(len(recording.tiers)):
        trial = recording.trial(index)
        cells = trial.movie[0].flatten(1)[:, CELLS].T.numpy()
        responses.append(trial.responses.numpy()[:, 10:-10])
        levels.append(cells[:, 10 - shift : cells.shape[1] - 10 - shift])
    pairs = zip(np.concatenate(responses, 1), np.concatenate(levels, 1), strict=True)
    return float(np.mean([np.corrcoef(unit, cell)[0, 1] for unit, cell in pairs]))
