"""Stimuli for measuring resolution: drifting gratings over frequencies, Gaussian noise over scales.

After Bauer, Margrie & Clopath 2026, who reconstruct a 7 × 7 grid of each from predicted responses.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError
from recon.simulate.filters import FRAME_RATE, pixel_grid
from recon.simulate.movies import SceneRecord, SimulatedClip

GREY, CONTRAST = 127.5, 45.0
"""Mean and standard deviation of the stimuli's grey levels before clipping to 0–255."""
SPATIAL_FREQUENCIES = (0.01, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15)
"""Cycles per degree."""
TEMPORAL_FREQUENCIES = (0.5, 1.0, 2.0, 3.0, 4.5, 7.0, 10.0)
"""Hertz."""
SPATIAL_SCALES = (2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 22.0)
"""Standard deviation of the spatial filter in degrees."""
TEMPORAL_SCALES = (0.02, 0.035, 0.06, 0.1, 0.18, 0.3, 0.5)
"""Standard deviation of the temporal filter in seconds."""
KINDS = ("gratings", "noise")


def stimulus_set(
    kind: str, *, frames: int, frame_size: tuple[int, int], degrees_per_pixel: float, attributes: int, seed: int = 0
) -> list[SimulatedClip]:
    """Return the 49 clips of a kind, "gratings" or "noise"; names contain the scales, such as `gratings_0.02_3`.

    The first number is in cycles per degree (noise: degrees), the second in Hz (noise: seconds). `seed` determines the
    directions and phases of gratings and the noise.
    """
    if kind not in KINDS:
        raise InputError(f"stimuli: expected one of {', '.join(KINDS)}, got {kind!r}; choose one of them")
    generator = np.random.default_rng([seed, KINDS.index(kind), 17])
    axes = (SPATIAL_FREQUENCIES, TEMPORAL_FREQUENCIES) if kind == "gratings" else (SPATIAL_SCALES, TEMPORAL_SCALES)
    make, x, y = (_grating if kind == "gratings" else _noise), *pixel_grid(frame_size, degrees_per_pixel)
    screen = _Screen(frames, degrees_per_pixel, x.reshape(frame_size), y.reshape(frame_size))
    clips = []
    for space, time in itertools.product(*axes):
        name = f"{kind}_{space:g}_{time:g}"
        levels = make(generator, screen, space=space, time=time)
        video = np.clip(np.round(GREY + CONTRAST * levels), 0, 255).astype(np.uint8)
        caption = caption_of(name)
        record = SceneRecord(0, frames, (caption,), name)
        clips.append(SimulatedClip(name, video, np.zeros((attributes, frames), np.float32), (caption,), (record,)))
    return clips


def caption_of(name: str) -> str:
    """Return the caption of a stimulus.

    >>> caption_of("gratings_0.02_3")
    'A grating of 0.02 cycles per degree drifts at 3 Hz.'
    """
    kind, space, time = name.split("_")
    if kind == "gratings":
        return f"A grating of {space} cycles per degree drifts at {time} Hz."
    return f"Noise of {space} degrees changes within {time} seconds."


@dataclass(frozen=True)
class _Screen:
    """Length in frames, degrees per pixel, and pixel positions `x`, `y` `[H,W]` in degrees."""

    frames: int
    pitch: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def _grating(generator: np.random.Generator, screen: _Screen, *, space: float, time: float) -> NDArray[np.float64]:
    """Return a sinusoidal grating `[T,H,W]` of standard deviation one with random direction and phase."""
    angle, phase = generator.uniform(0, 2 * math.pi, 2)
    along = screen.x * math.cos(angle) - screen.y * math.sin(angle)
    seconds = np.arange(screen.frames) / FRAME_RATE
    cycles = space * along[None] - time * seconds[:, None, None]
    return np.asarray(math.sqrt(2) * np.cos(2 * math.pi * cycles + phase))


def _noise(generator: np.random.Generator, screen: _Screen, *, space: float, time: float) -> NDArray[np.float64]:
    """Return Gaussian noise `[T,H,W]` filtered in space and time, with mean zero and standard deviation one."""
    from scipy.ndimage import gaussian_filter

    pixels, steps = space / screen.pitch, time * FRAME_RATE
    margin = [int(4 * width) + 1 for width in (steps, pixels, pixels)]
    size = [side + 2 * edge for side, edge in zip((screen.frames, *screen.x.shape), margin, strict=True)]
    smooth = gaussian_filter(generator.standard_normal(size), (steps, pixels, pixels), mode="wrap")
    inner = tuple(slice(edge, -edge) for edge in margin)
    return np.asarray(smooth[inner] / smooth.std())
