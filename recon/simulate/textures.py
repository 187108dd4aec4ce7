"""Still images for movies: 1/f noise, dead leaves, photographs and textured objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.simulate.sources import read_photograph

Picture = NDArray[np.float32]
Leaves = NDArray[np.float64]
Generator = np.random.Generator

SHAPES = ("disc", "square", "triangle", "star", "bar", "ring")
TEXTURES = ("plain", "striped", "spotted", "checkered", "mottled")
LEAVES_AT_A_TIME = 512


def noise_texture(generator: Generator, size: int, *, exponent: float = 1.0, orientation: float = 0.0) -> Picture:
    """Return periodic noise `[size,size]` of amplitude ∝ f^−exponent, mean 0, standard deviation 1.

    `orientation` above 0 makes it anisotropic.
    """
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(fx * (1 + 2 * orientation), fy)
    radius[0, 0] = 1.0
    amplitude = radius**-exponent
    amplitude[0, 0] = 0.0
    spectrum = np.fft.rfft2(generator.standard_normal((size, size))) * amplitude
    return _standardised(np.fft.irfft2(spectrum, s=(size, size)))


def clouds(generator: Generator, size: int) -> Picture:
    """Return a periodic canvas of soft clouds or wood-like grain, mean 0, standard deviation 1."""
    exponent = generator.uniform(1.1, 1.5)
    return noise_texture(generator, size, exponent=exponent, orientation=float(generator.choice([0.0, 2.0])))


def dead_leaves(generator: Generator, size: int, *, smallest: float = 2.0, cover: float = 3.0) -> Picture:
    """Return a periodic canvas `[size,size]` of occluding textured ellipses, p(r) ∝ r⁻³ (dead leaves; Lee et al. 2001).

    `smallest` is the minimum radius in pixels, `cover` the total area of the leaves in units of the canvas.
    """
    canvas = noise_texture(generator, size, exponent=1.2)
    texture = np.tile(noise_texture(generator, size, exponent=0.9), (2, 2))
    for leaves in _leaves(generator, size, smallest=smallest, area=cover * size**2):
        _paint(canvas, texture, leaves)
    return _standardised(canvas)


def photograph(generator: Generator, name: str, *, width: int) -> Picture:
    """Return a photograph resized to `width` pixels with antialiasing, then extended periodically by mirroring."""
    from PIL import Image

    picture = read_photograph(name)
    if generator.random() < 0.5:
        picture = picture[:, ::-1]
    height = round(width * picture.shape[0] / picture.shape[1])
    image = Image.fromarray(np.ascontiguousarray(picture))
    resized = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    doubled = np.concatenate([resized, resized[:, ::-1]], axis=1)
    return _standardised(np.concatenate([doubled, doubled[::-1]], axis=0))


def sprite(generator: Generator, shape: str, texture: str, *, radius: float) -> tuple[Picture, Picture]:
    """Return grey values and opacity in [0,1] of an object of `radius` pixels, both as square pictures."""
    half = int(np.ceil(1.25 * radius)) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) / radius
    opacity = np.clip(0.5 - _distance(shape, x, y) * radius, 0, 1).astype(np.float32)
    values = generator.choice([-1.0, 1.0]) * generator.uniform(0.7, 1.9) + _pattern(generator, texture, x, y)
    return values.astype(np.float32), opacity


def _leaves(generator: Generator, size: int, *, smallest: float, area: float) -> Iterator[Leaves]:
    """Draw leaves of total area `area` pixels and yield them in batches `[K,9]`.

    Columns: radius along the long axis, aspect, angle, centre (row, column), corner of the grain (row, column),
    contrast of the grain, grey value.
    """
    largest, covered, leaves = size / 5, 0.0, list[tuple[float, ...]]()
    rarest, span = smallest**-2, smallest**-2 - largest**-2
    while covered < area:
        u, aspect, angle, y, x = generator.random(5).tolist()
        top, left = int(generator.integers(size)), int(generator.integers(size))
        radius = (rarest - u * span) ** -0.5
        shape = (radius, 0.45 + (1.0 - 0.45) * aspect, np.pi * angle, size * y, size * x)
        leaves.append((*shape, top, left, 0.1 + (0.6 - 0.1) * generator.random(), generator.standard_normal()))
        covered += np.pi * radius**2 * 0.7
        if len(leaves) == LEAVES_AT_A_TIME:
            yield np.array(leaves)
            leaves = []
    if leaves:
        yield np.array(leaves)


def _paint(canvas: Picture, texture: Picture, leaves: Leaves) -> None:
    """Paint leaves in order; `texture` is the grain tiled twice along both axes, so that any patch is one slice.

    Outlines of equal size are computed in one call: most leaves are a few pixels wide and call overhead dominates.
    """
    size, halves = len(canvas), leaves[:, 0].astype(int) + 2
    equal = {half: iter(_outlines(leaves[halves == half], half)) for half in set(halves.tolist())}
    starts = leaves[:, 3:5].astype(int) - halves[:, None]
    grains = (starts + leaves[:, 5:7].astype(int)) % size
    inside = (starts >= 0).all(1) & (starts + 2 * halves[:, None] + 1 <= size).all(1)
    ways = zip(halves.tolist(), starts.tolist(), grains.tolist(), leaves[:, 7:].tolist(), inside.tolist(), strict=True)
    for half, (row, column), (top, left), (grain, value), whole in ways:
        opacity, side = next(equal[half]), 2 * half + 1
        colour = texture[top : top + side, left : left + side] * grain
        colour += value
        if whole:
            place = canvas[row : row + side, column : column + side]
            colour -= place
            place += (opacity * colour).astype(np.float32)
        else:
            wrapped = np.ix_(np.arange(row, row + side) % size, np.arange(column, column + side) % size)
            canvas[wrapped] += (opacity * (colour - canvas[wrapped])).astype(np.float32)


def _outlines(leaves: Leaves, half: int) -> NDArray[np.float64]:
    """Return the antialiased opacity `[K,2·half+1,2·half+1]` of K leaves."""
    radius, aspect, angle = (leaves[:, place, None, None] for place in range(3))
    centre = leaves[:, 3:5]
    reach = np.arange(2 * half + 1)
    offset = (np.floor(centre).astype(int) - half)[..., None] + reach - centre[..., None]
    dy, dx = offset[:, 0, :, None], offset[:, 1, None, :]
    cosine, sine = np.cos(angle), np.sin(angle)
    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
    distance = np.sqrt(along**2 + (across / aspect) ** 2)
    opacity: NDArray[np.float64] = ((1 - distance / radius) * radius * aspect + 0.5).clip(0, 1)
    return opacity


def _distance(shape: str, x: Picture, y: Picture) -> NDArray[Any]:
    """Return the signed distance (negative inside) to the outline of a shape of radius 1."""
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    if shape == "disc":
        return np.asarray(distance - 1)
    if shape == "ring":
        return np.asarray(np.abs(distance - 0.75) - 0.25)
    if shape == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) - 0.85)
    if shape == "bar":
        return np.asarray(np.maximum(np.abs(x) - 1.1, np.abs(y) - 0.28))
    if shape == "triangle":
        return np.asarray(np.maximum(y - 0.55, 0.5 * (np.sqrt(3) * np.abs(x) - y) - 0.55))
    return np.asarray(distance - (0.72 + 0.3 * np.cos(5 * angle + np.pi / 2)))


def _pattern(generator: Generator, texture: str, x: Picture, y: Picture) -> NDArray[Any]:
    angle, frequency = generator.uniform(0, np.pi), np.pi * generator.uniform(1.2, 2.6)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if texture == "striped":
        return np.asarray(np.tanh(3 * np.sin(frequency * u)))
    if texture == "checkered":
        return np.asarray(np.tanh(3 * np.sin(frequency * u)) * np.tanh(3 * np.sin(frequency * v)))
    if texture == "spotted":
        return np.asarray(1.8 * (np.cos(2 * frequency * u) + np.cos(2 * frequency * v) > 0.7) - 0.5)
    grain = noise_texture(generator, 64, exponent=1.0)
    size = len(x)
    tiled = np.tile(grain, (size // 64 + 1, size // 64 + 1))[:size, :size]
    return np.asarray((0.7 if texture == "mottled" else 0.12) * tiled)


def _standardised(picture: NDArray[Any]) -> Picture:
    return np.asarray((picture - picture.mean()) / max(float(picture.std()), 1e-6), dtype=np.float32)
