"""Sinusoidal gratings rendered in visual degrees: the exact mean of each pixel, in closed form.

Orientation, phase and drift follow the AllenSDK (`brain_observatory/stimulus_info.py`: `rotate`,
`get_spatial_grating`, `get_spatio_temporal_grating`), as facts:
L = grey + grey · contrast · cos 2π(f (x cos θ + y sin θ) + phase + temporal frequency · t), where x is to the right and
y is down, both in degrees from the centre of the screen. θ = 0: vertical bars; θ turns the grating clockwise; phase in
cycles, 0 puts a bright bar on the centre; the bars drift against the direction (cos θ, sin θ).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.data.formats.placement import GREY, Degrees
from recon.data.layout import Array
from recon.data.resize import Size


@dataclass(frozen=True)
class Gratings:
    """Gratings `(K,)`: orientation (deg), spatial frequency (cycles/deg), phase (cycles), temporal frequency (Hz).

    `contrast` is Michelson contrast. `diameter` in degrees of a circular patch, inf for the full field, around
    `centre` `(K,2)`, degrees to the right of and above the centre of the screen.
    """

    orientation: Array
    spatial_frequency: Array
    phase: Array
    temporal_frequency: Array
    contrast: Array
    diameter: Array
    centre: Array

    def frames(self, size: Size, degrees: Degrees, *, which: Array, elapsed: Array) -> Array:
        """Return frames `(k, *size)` of gratings `which` `(k,)`, `elapsed` `(k,)` seconds after their onset.

        `degrees` are the height and width of a pixel. Float32 grey levels.
        """
        down, right = ((np.arange(count) - (count - 1) / 2) * pixel for count, pixel in zip(size, degrees, strict=True))
        drawn = grating(
            (down, right),
            degrees,
            orientation=self.orientation[which],
            spatial_frequency=self.spatial_frequency[which],
            phase=self.phase[which] + self.temporal_frequency[which] * elapsed,
            contrast=self.contrast[which],
        )
        for place in np.flatnonzero(np.isfinite(self.diameter[which])):
            x, y = self.centre[which[place]]
            outside = np.hypot(down[:, None] + y, right[None] - x) > self.diameter[which[place]] / 2
            drawn[place][outside] = GREY
        return drawn


def grating(
    axes: tuple[Array, Array],
    degrees: Degrees,
    *,
    orientation: Array,
    spatial_frequency: Array,
    phase: Array,
    contrast: Array,
) -> Array:
    """Return gratings `(k,H,W)` in grey levels at pixel centres `axes` (down `(H,)`, right `(W,)`), in degrees.

    A pixel is the mean over its area of `degrees` (height, width): the sinusoid at its centre times
    sinc(f_y · height) sinc(f_x · width).

    >>> one = dict(orientation=np.zeros(1), phase=np.zeros(1), contrast=np.ones(1))
    >>> axes = np.zeros(1), np.array([0.0, 5.0, 10.0])
    >>> grating(axes, (0.0, 0.0), spatial_frequency=np.array([0.05]), **one).round().astype(int).tolist()
    [[[254, 127, 0]]]
    """
    down, right = axes
    angle = np.deg2rad(orientation)
    across, along = spatial_frequency * np.cos(angle), spatial_frequency * np.sin(angle)
    amplitude = GREY * contrast * np.sinc(across * degrees[1]) * np.sinc(along * degrees[0])
    columns = 2 * np.pi * (across[:, None] * right[None] + phase[:, None])
    rows = 2 * np.pi * along[:, None] * down[None]
    # cos(a + b) from its parts: H + W cosines per frame instead of H · W.
    drawn = np.cos(rows)[:, :, None].astype(np.float32) * np.cos(columns)[:, None].astype(np.float32)
    drawn -= np.sin(rows)[:, :, None].astype(np.float32) * np.sin(columns)[:, None].astype(np.float32)
    levels: Array = np.float32(GREY) + amplitude[:, None, None].astype(np.float32) * drawn
    return levels
