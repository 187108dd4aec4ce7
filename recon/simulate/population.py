"""Visual drive of the simulated population for movies."""

from __future__ import annotations

import functools

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.simulate.cells import COMPLEX, LOW_LEVEL, SEMANTIC, Cells, plant_cells
from recon.simulate.filters import KERNEL, pixel_grid, spatial_filters, temporal_filters
from recon.simulate.movies import SimulatedClip, make_clip
from recon.simulate.settings import SimulationSettings

GREY, CONTRAST = 100.0, 50.0
"""Mean grey level and contrast (standard deviation) to which the population is adapted."""
NEIGHBOURHOOD = 15.0
"""Radius (standard deviation, degrees) of the normalisation pool."""
CALIBRATION_CLIPS = 8
SEMI_SATURATION = 0.5
SATURATION = 10.0
"""Maximum output of the static nonlinearity, for energies of root mean square 1."""


class SimulatedPopulation:
    """The simulated cells with their filters, calibrated to a mean visual drive of 1 on training movies."""

    def __init__(self, settings: SimulationSettings, cells: Cells | None = None) -> None:
        self.settings = settings
        self.cells = plant_cells(settings) if cells is None else cells
        self._space = spatial_filters(self.cells, settings.frame_size, settings.degrees_per_pixel)
        self._time = temporal_filters(self.cells)
        self._pool = _pooling(self.cells, settings)
        self._energy_scale = torch.ones(settings.neurons)
        self._contrast_scale = 1.0
        self._visual_mean = torch.ones(settings.neurons)
        self._calibrate()

    @torch.no_grad()
    def drive(self, movies: Tensor, attributes: Tensor | None = None, gaze: Tensor | None = None) -> Tensor:
        """Return the drive `[B,N,T]` (mean near 1) for movies `[B,1,T,H,W]` in [0,1].

        `attributes` `[B,A,T]` drive semantic and mixed neurons as exp(w·a); `gaze` `[B,2,T]` (degrees, x right, y down)
        shifts all receptive fields.
        """
        signal = (movies[:, 0] * 255 - GREY) / CONTRAST
        seen = signal if gaze is None else _shifted(signal, gaze / self.settings.degrees_per_pixel)
        visual = self._visual(seen) / self._visual_mean[:, None]
        return visual if attributes is None else self._with_meaning(visual, attributes)

    @torch.no_grad()
    def linear(self, signal: Tensor) -> Tensor:
        """Return the four filtered signals `[4,B,N,T]` (even·even, odd·odd, even·odd, odd·even; space·time)."""
        flat = rearrange(signal, "b t h w -> (b t) (h w)")
        even, odd = (rearrange(flat @ space.T, "(b t) n -> b n t", b=len(signal)) for space in self._space)
        pairs = ((even, 0), (odd, 1), (even, 1), (odd, 0))
        return torch.stack([_causal(projected, self._time[time]) for projected, time in pairs])

    def energy(self, signal: Tensor) -> Tensor:
        """Return the rectified filter output `[B,N,T]` before normalisation, for signals `[B,T,H,W]` in contrast units.

        Simple and luminance cells: half-rectified opponent motion. Complex cells: square root of the quadrature energy
        (Adelson & Bergen 1985).
        """
        a, b, c, d = self.linear(signal)
        selectivity = torch.from_numpy(self.cells.selectivity).float()[:, None]
        simple = (a - selectivity * b).clamp_min(0)
        preferred = (a - b) ** 2 + (c + d) ** 2
        opposite = (a + b) ** 2 + (c - d) ** 2
        energy = (0.5 * (preferred + (1 - selectivity) * opposite)).sqrt()
        return torch.where(torch.from_numpy(self.cells.kind == COMPLEX)[:, None], energy, simple)

    def _visual(self, signal: Tensor) -> Tensor:
        cells = self.cells
        contrast = self._contrast(signal) / self._contrast_scale
        energy = self.energy(signal) / self._energy_scale[:, None]
        normalised = energy * (1 + SEMI_SATURATION) / (SEMI_SATURATION + contrast)
        threshold, exponent = (torch.from_numpy(v).float()[:, None] for v in (cells.threshold, cells.exponent))
        power = (normalised - threshold).clamp_min(0) ** exponent
        return power / (1 + power / SATURATION)

    def _contrast(self, signal: Tensor) -> Tensor:
        """Return the root-mean-square contrast `[B,N,T]` over the normalisation pool and the kernel's length."""
        local = (rearrange(signal, "b t h w -> (b t) (h w)") ** 2) @ self._pool.T
        memory = torch.full((len(self._pool), KERNEL), 1 / KERNEL)
        return _causal(rearrange(local, "(b t) n -> b n t", b=len(signal)), memory).sqrt()

    def _with_meaning(self, visual: Tensor, attributes: Tensor) -> Tensor:
        role = torch.from_numpy(self.cells.role)[:, None]
        if bool((role == LOW_LEVEL).all()):
            return visual
        delay = torch.full((len(self.cells.weights), KERNEL), 1 / KERNEL)
        weighed = torch.einsum("na,bat->bnt", torch.from_numpy(self.cells.weights).float(), attributes)
        meaning = _causal(weighed, delay).exp() / self._meaning_mean()[:, None]
        return torch.where(role == SEMANTIC, meaning, torch.where(role == LOW_LEVEL, visual, visual * meaning))

    def _meaning_mean(self) -> Tensor:
        weights = torch.from_numpy(self.cells.weights).float()
        return torch.stack([(weights @ a).exp().mean(1) for a in self._shown]).mean(0)

    def _calibrate(self) -> None:
        """Normalise root-mean-square energy, mean contrast and mean drive to 1 on the first training clips."""
        settings = self.settings
        clips = _calibration_clips(settings.frame_size, settings.degrees_per_pixel)
        self._shown = [torch.from_numpy(clip.attributes) for clip in clips]
        signals = [(torch.from_numpy(clip.video).float()[None] - GREY) / CONTRAST for clip in clips]
        self._energy_scale = torch.stack([self.energy(s).square().mean((0, 2)) for s in signals]).mean(0).sqrt()
        self._contrast_scale = float(torch.stack([self._contrast(s).mean() for s in signals]).mean())
        self._visual_mean = torch.stack([self._visual(s).mean((0, 2)) for s in signals]).mean(0).clamp_min(1e-3)


@functools.lru_cache(maxsize=2)
def _calibration_clips(frame_size: tuple[int, int], degrees_per_pixel: float) -> tuple[SimulatedClip, ...]:
    return tuple(
        make_clip("train", i, frame_size=frame_size, degrees_per_pixel=degrees_per_pixel)
        for i in range(CALIBRATION_CLIPS)
    )


def _pooling(cells: Cells, settings: SimulationSettings) -> Tensor:
    x, y = pixel_grid(settings.frame_size, settings.degrees_per_pixel)
    square = (x[None] - cells.centre_x[:, None]) ** 2 + (y[None] - cells.centre_y[:, None]) ** 2
    weights = np.exp(-0.5 * square / NEIGHBOURHOOD**2)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True)).float()


def _causal(signal: Tensor, kernel: Tensor) -> Tensor:
    """Filter `[B,N,T]` with a causal kernel `[N,L]` per neuron; the screen is grey (zero) before the movie."""
    padded = functional.pad(signal, (kernel.shape[1] - 1, 0))
    return functional.conv1d(padded, kernel.flip(1)[:, None], groups=len(kernel))


def _shifted(signal: Tensor, shift: Tensor) -> Tensor:
    """Sample each frame at positions shifted by `shift` `[B,2,T]` pixels; grey (zero) beyond the screen."""
    batch, frames, height, width = signal.shape
    x = torch.arange(width)[None, None, :] + rearrange(shift[:, 0], "b t -> (b t) 1 1")
    y = torch.arange(height)[None, :, None] + rearrange(shift[:, 1], "b t -> (b t) 1 1")
    size = (batch * frames, height, width)
    grid = torch.stack([(2 * x / (width - 1) - 1).expand(size), (2 * y / (height - 1) - 1).expand(size)], -1)
    flat = rearrange(signal, "b t h w -> (b t) 1 h w")
    moved = functional.grid_sample(flat, grid, padding_mode="zeros", align_corners=True)
    return rearrange(moved, "(b t) 1 h w -> b t h w", b=batch)
