"""Smooth motion, and antialiased rendering of layers to frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recon.simulate.textures import Generator, Picture

FRAME_RATE = 30.0
OVERSAMPLING = 2
"""Samples per pixel along each axis; layers are rendered at this resolution and averaged over pixels."""


@dataclass(frozen=True)
class Motion:
    """Path of a layer: `shift` `[T,2]` in degrees (x right, y down), `angle` `[T]` in radians, `scale` `[T]`."""

    shift: NDArray[np.float64]
    angle: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def velocity(self) -> tuple[float, float]:
        """Mean velocity (x right, y down) in degrees per second."""
        seconds = max(len(self.shift) - 1, 1) / FRAME_RATE
        x, y = (self.shift[-1] - self.shift[0]) / seconds
        return float(x), float(y)

    @property
    def growth(self) -> float:
        """Logarithm of the ratio of last to first scale."""
        return float(np.log(self.scale[-1] / self.scale[0]))


@dataclass(frozen=True)
class Layer:
    """A moving picture: a periodic background if `opacity` is None, otherwise an object.

    `wrap` (degrees) is the period of an object's position: an object that leaves the screen re-enters opposite.
    """

    values: Picture
    motion: Motion
    opacity: Picture | None = None
    wrap: tuple[float, float] = (0.0, 0.0)


def smooth_motion(
    generator: Generator,
    frames: int,
    *,
    speed: float,
    direction: float,
    start: tuple[float, float] = (0.0, 0.0),
    growth: float = 0.0,
    spin: float = 0.0,
) -> Motion:
    """Draw a path of mean `speed` (°/s) and `direction` (radians, anticlockwise from right) with fluctuating velocity.

    `growth` is the change of log scale over the path, `spin` the mean rotation in radians per second.
    """
    wander = np.stack([_wander(generator, frames, 0.3 * speed + 0.5) for _ in range(2)], axis=1)
    velocity = speed * np.array([np.cos(direction), -np.sin(direction)]) + wander
    shift = np.cumsum(velocity, axis=0) / FRAME_RATE
    time = np.arange(frames) / FRAME_RATE
    angle = spin * time + np.cumsum(_wander(generator, frames, 0.2 * abs(spin))) / FRAME_RATE
    return Motion(shift - shift[0] + np.asarray(start), angle, np.exp(growth * (time / time[-1] - 0.5)))


def render(layers: list[Layer], *, frames: int, frame_size: tuple[int, int], degrees_per_pixel: float) -> Tensor:
    """Render layers, back to front, to frames `[T,H,W]` in the units of their pictures."""
    height, width = (OVERSAMPLING * side for side in frame_size)
    pitch = degrees_per_pixel / OVERSAMPLING
    x = (torch.arange(width) - (width - 1) / 2) * pitch
    y = (torch.arange(height) - (height - 1) / 2) * pitch
    frame = torch.zeros(frames, height, width)
    for layer in layers:
        frame = _background(layer, x, y, pitch) if layer.opacity is None else _object(frame, layer, x, y, pitch)
    return functional.avg_pool2d(frame[:, None], OVERSAMPLING)[:, 0]


def _wander(generator: Generator, frames: int, deviation: float) -> NDArray[np.float64]:
    """Draw an Ornstein–Uhlenbeck path with time constant 0.5 s, centred so that the mean velocity is unchanged."""
    keep = np.exp(-1 / (0.5 * FRAME_RATE))
    noise = generator.standard_normal(frames) * deviation * np.sqrt(1 - keep**2)
    value, path = deviation * generator.standard_normal(), np.empty(frames)
    for t in range(frames):
        value = keep * value + noise[t]
        path[t] = value
    centred: NDArray[np.float64] = path - path.mean()
    return centred


def _background(layer: Layer, x: Tensor, y: Tensor, pitch: float) -> Tensor:
    """Sample a periodic picture; rotation and zoom are about the screen centre."""
    motion = _tensors(layer.motion)
    u, v = _rotated(x[None, None, :], y[None, :, None], motion)
    picture = torch.from_numpy(np.pad(layer.values, ((0, 1), (0, 1)), mode="wrap"))
    rows, columns = layer.values.shape
    column = torch.remainder((u - motion[:, 0, None, None]) / pitch + columns / 2, columns) * (2 / columns) - 1
    row = torch.remainder((v - motion[:, 1, None, None]) / pitch + rows / 2, rows) * (2 / rows) - 1
    return _sample(picture[None], column, row, "border")[:, 0]


def _object(frame: Tensor, layer: Layer, x: Tensor, y: Tensor, pitch: float) -> Tensor:
    motion = _tensors(layer.motion)
    for axis in (0, 1):
        span = layer.wrap[axis]
        motion[:, axis] = torch.remainder(motion[:, axis] + span / 2, span) - span / 2
    u, v = _rotated(x[None, None, :] - motion[:, 0, None, None], y[None, :, None] - motion[:, 1, None, None], motion)
    opacity = torch.from_numpy(layer.opacity)
    half = (len(opacity) - 1) / 2 * pitch
    picture = torch.stack([torch.from_numpy(layer.values) * opacity, opacity])
    sampled = _sample(picture, u / half, v / half, "zeros")
    return frame * (1 - sampled[:, 1]) + sampled[:, 0]


def _tensors(motion: Motion) -> Tensor:
    columns = np.concatenate([motion.shift, motion.angle[:, None], motion.scale[:, None]], axis=1)
    return torch.from_numpy(columns.astype(np.float32))


def _rotated(x: Tensor, y: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    cosine = (motion[:, 2].cos() / motion[:, 3])[:, None, None]
    sine = (motion[:, 2].sin() / motion[:, 3])[:, None, None]
    return cosine * x + sine * y, cosine * y - sine * x


def _sample(picture: Tensor, x: Tensor, y: Tensor, padding: str) -> Tensor:
    """Sample a picture `[C,h,w]` bilinearly at positions `x`, `y` `[T,H,W]` (−1 to 1, corners aligned)."""
    grid = torch.empty(*x.shape, 2)
    grid[..., 0], grid[..., 1] = x, y
    batch = picture[None].expand(len(grid), *picture.shape)
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode=padding, align_corners=True)
