"""Behavior: running bouts, pupil dilation and gaze as smooth stochastic processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FRAME_RATE = 30.0
PUPIL_MEAN, PUPIL_SD = 45.0, 12.0
"""Mean and standard deviation of the pupil dilation in camera pixels, as in Sensorium recordings."""
PUPIL_CENTRE = (120.0, 120.0)
DEGREES_PER_PUPIL_PIXEL = 1.0
RUNNING_SCALE = 8.0
"""Running speed (cm/s) that corresponds to one unit of gain, before saturation."""


def simulate_behavior(generator: np.random.Generator, luminance: Array) -> Array:
    """Return behavior `[4,T]` (pupil dilation, running speed, pupil x, pupil y) for mean `luminance` `[T]` in 0–255.

    Trials start from the stationary distribution. The pupil dilates with arousal and constricts with recent luminance.
    """
    frames = len(luminance)
    arousal = _slow(generator, frames, seconds=8.0)
    bout = 1 / (1 + np.exp(-8 * (arousal + 0.5 * _slow(generator, frames, seconds=2.0) - 0.4)))
    running = np.clip(bout * (14 + 5 * _slow(generator, frames, seconds=1.0)), 0, None)
    light = _lowpass((luminance - 100.0) / 50.0, seconds=0.7)
    pupil = PUPIL_MEAN + PUPIL_SD * (0.8 * arousal - 0.5 * light + 0.2 * _slow(generator, frames, seconds=1.0))
    channels: Array = np.stack([np.clip(pupil, 10, None), running, *_gaze(generator, frames)])
    return channels


def modulation(behavior: Array) -> tuple[Array, Array]:
    """Return running and pupil signals `[T]` in units of the cells' gains, both near 0 at rest."""
    return np.tanh(behavior[1] / RUNNING_SCALE), np.clip((behavior[0] - PUPIL_MEAN) / PUPIL_SD, -2, 2)


def gaze_degrees(behavior: Array) -> Array:
    """Return the gaze `[2,T]` in degrees (x, y down) from the pupil position."""
    shift: Array = (behavior[2:4] - np.array(PUPIL_CENTRE)[:, None]) * DEGREES_PER_PUPIL_PIXEL
    return shift


def _gaze(generator: np.random.Generator, frames: int) -> Array:
    """Draw a pupil position `[2,T]` in camera pixels: slow drift, and one saccade every two seconds on average."""
    jumps = np.where(generator.random(frames) < 1 / (2.0 * FRAME_RATE), generator.normal(0, 4.0, (2, frames)), 0.0)
    position, path = generator.normal(0, 3.0, 2), np.empty((2, frames))
    for t in range(frames):
        position = 0.995 * position + jumps[:, t]
        path[:, t] = position
    drift = np.stack([_slow(generator, frames, seconds=3.0) for _ in range(2)])
    position_path: Array = path + 1.5 * drift + np.array(PUPIL_CENTRE)[:, None]
    return position_path


def _slow(generator: np.random.Generator, frames: int, *, seconds: float) -> Array:
    """Draw an Ornstein–Uhlenbeck path of unit variance, smoothed by a low-pass filter of 0.2 s."""
    keep = np.exp(-1 / (seconds * FRAME_RATE))
    noise = np.sqrt(1 - keep**2) * generator.standard_normal(frames)
    value, path = generator.standard_normal(), np.empty(frames)
    for t in range(frames):
        value = keep * value + noise[t]
        path[t] = value
    return _lowpass(path, seconds=0.2)


def _lowpass(signal: Array, *, seconds: float) -> Array:
    keep = np.exp(-1 / (seconds * FRAME_RATE))
    value, path = signal[0], np.empty(len(signal))
    for t, sample in enumerate(signal):
        value = keep * value + (1 - keep) * sample
        path[t] = value
    return path
