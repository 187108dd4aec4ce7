"""Scenes: what is in the picture, how it moves, and what may be said about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.simulate import captions, textures
from recon.simulate.render import FRAME_RATE, OVERSAMPLING, Layer, smooth_motion
from recon.simulate.sources import Source, split_of_sources
from recon.simulate.textures import SHAPES, TEXTURES, Generator

CONTENTS = ("person", "animal", "vehicle", "building", "plants", "ground", "still life", "sky", "writing", "microscopy")
ATTRIBUTES = ("leaves", "clouds", "photograph", *SHAPES, *TEXTURES, *CONTENTS)
"""What a scene shows, as a vector of zeros and ones; semantic neurons weigh it."""
CANVAS = 320
"""Side of a periodic canvas in pixels (two per pixel of the movie, so 2.5 to 4.4 screens)."""
FASTEST = 60.0


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, captions (one and two paraphrases), attributes `[A]`, mean grey level and contrast."""

    layers: list[Layer]
    captions: tuple[str, ...]
    attributes: NDArray[np.float32]
    mean: float
    contrast: float


def make_scene(
    source: Source, part: int, *, frames: int, frame_size: tuple[int, int], degrees_per_pixel: float
) -> Scene:
    """Return part `part` of a source as a scene of `frames` frames."""
    generator = np.random.default_rng([source.seed, 2, part])
    screen = (frame_size[1] * degrees_per_pixel, frame_size[0] * degrees_per_pixel)
    pitch = degrees_per_pixel / OVERSAMPLING
    makers = {"leaves": _leaves, "objects": _objects, "pan": _pan, "photograph": _photograph}
    layers, texts, shown = makers[source.kind](generator, frames, screen, pitch, source.photograph)
    attributes = np.array([name in shown for name in ATTRIBUTES], dtype=np.float32)
    return Scene(layers, texts, attributes, mean=generator.uniform(75, 125), contrast=generator.uniform(38, 62))


Made = tuple[list[Layer], tuple[str, ...], set[str]]


def _speed(generator: Generator, mean: float) -> float:
    return float(min(generator.exponential(mean), FASTEST))


def _surface(generator: Generator) -> tuple[textures.Picture, str, str]:
    """A canvas, what it is called, and its attribute."""
    if generator.random() < 0.65:
        coarse = generator.random() < 0.5
        canvas = textures.dead_leaves(generator, CANVAS, smallest=7.0 if coarse else 3.0)
        return canvas, "a background of large leaves" if coarse else "a background of small leaves", "leaves"
    return textures.clouds(generator, CANVAS), "a cloudy background", "clouds"


def _leaves(generator: Generator, frames: int, screen: tuple[float, float], pitch: float, photograph: str) -> Made:
    """A sheet of leaves that drifts or expands, with nearer clumps of leaves that move faster (parallax)."""
    coarse = generator.random() < 0.5
    canvas = textures.dead_leaves(generator, CANVAS, smallest=7.0 if coarse else 3.0)
    direction, speed = generator.uniform(-np.pi, np.pi), _speed(generator, 11.0)
    growth = _growth(generator)
    motion = smooth_motion(generator, frames, speed=speed, direction=direction, growth=growth)
    layers = [Layer(canvas, motion)]
    for _ in range(int(generator.integers(0, 4))):
        heading = (speed * generator.uniform(1.3, 2.0), direction)
        layers.append(_clump(generator, canvas, frames, screen, pitch, heading))
    name = "a pile of large leaves" if coarse else "a pile of small leaves"
    return layers, captions.surface_captions(name, motion.velocity, growth), {"leaves"}


def _clump(
    generator: Generator,
    canvas: textures.Picture,
    frames: int,
    screen: tuple[float, float],
    pitch: float,
    heading: tuple[float, float],
) -> Layer:
    radius = generator.uniform(0.15, 0.35) * screen[1]
    _, opacity = textures.sprite(generator, "disc", "plain", radius=radius / pitch)
    offset, side = generator.integers(CANVAS, size=2), np.arange(len(opacity))
    values = canvas[np.ix_((offset[0] + side) % CANVAS, (offset[1] + side) % CANVAS)]
    start = generator.uniform(-0.5, 0.5, 2) * screen
    motion = smooth_motion(
        generator, frames, speed=heading[0], direction=heading[1], start=(float(start[0]), float(start[1]))
    )
    reach = 2.6 * radius
    return Layer(values + np.float32(generator.normal(0, 0.8)), motion, opacity, (screen[0] + reach, screen[1] + reach))


def _objects(generator: Generator, frames: int, screen: tuple[float, float], pitch: float, photograph: str) -> Made:
    """One to four textured objects over a textured background that is still or drifts slowly."""
    canvas, background, attribute = _surface(generator)
    drift = _speed(generator, 5.0) if generator.random() < 0.5 else 0.0
    behind = smooth_motion(generator, frames, speed=drift, direction=generator.uniform(-np.pi, np.pi))
    layers, subjects, shown = [Layer(0.6 * canvas, behind)], [], {attribute}
    for _ in range(int(generator.integers(1, 5))):
        shape, texture = str(generator.choice(SHAPES)), str(generator.choice(TEXTURES))
        size = str(generator.choice(["small", "medium-sized", "large"]))
        radius = {"small": 0.17, "medium-sized": 0.27, "large": 0.4}[size] * generator.uniform(0.85, 1.15) * screen[1]
        layer = _moving_object(generator, frames, screen, (shape, texture, radius, pitch))
        layers.append(layer)
        subjects.append((captions.object_words(size, texture, shape), layer.motion.velocity, layer.motion.growth))
        shown |= {shape, texture}
    kind = captions.speed_class(behind.velocity)
    moving = "" if kind == "still" else f" that drifts {captions.direction_words(behind.velocity)}"
    return layers, captions.objects_captions(subjects, background, moving=moving), shown


def _moving_object(
    generator: Generator, frames: int, screen: tuple[float, float], look: tuple[str, str, float, float]
) -> Layer:
    shape, texture, radius, pitch = look
    values, opacity = textures.sprite(generator, shape, texture, radius=radius / pitch)
    start = generator.uniform(-0.42, 0.42, 2) * screen
    motion = smooth_motion(
        generator,
        frames,
        speed=_speed(generator, 18.0),
        direction=generator.uniform(-np.pi, np.pi),
        start=(float(start[0]), float(start[1])),
        growth=generator.uniform(-0.7, 0.7) if generator.random() < 0.4 else 0.0,
        spin=generator.uniform(-1.2, 1.2) if generator.random() < 0.5 else 0.0,
    )
    reach = 2.6 * radius * float(motion.scale.max())
    return Layer(values, motion, opacity, (screen[0] + reach, screen[1] + reach))


def _pan(generator: Generator, frames: int, screen: tuple[float, float], pitch: float, photograph: str) -> Made:
    """A camera that pans and zooms over a large canvas."""
    canvas, name, attribute = _surface(generator)
    layer, growth = _camera(generator, frames, canvas)
    surface = name.replace("a background of", "a wide field of").replace("a cloudy background", "a cloudy landscape")
    return [layer], captions.camera_captions(surface, layer.motion.velocity, growth), {attribute}


def _photograph(generator: Generator, frames: int, screen: tuple[float, float], pitch: float, photograph: str) -> Made:
    """A camera that pans and zooms over a photograph wider than the screen, without looking past its edges."""
    picture = textures.photograph(generator, photograph, width=round(generator.uniform(1.35, 2.4) * screen[0] / pitch))
    growth, seconds = _growth(generator), frames / FRAME_RATE
    widest = np.exp(abs(growth) / 2)
    slack = np.maximum(np.array(picture.shape[::-1]) / 2 * pitch - np.array(screen) * widest, 0.0)
    direction = generator.uniform(-np.pi, np.pi)
    heading = np.abs([np.cos(direction), np.sin(direction)])
    speed = min(_speed(generator, 14.0), float((slack / np.maximum(heading, 1e-3)).min()) / seconds)
    travel = speed * seconds * np.array([np.cos(direction), -np.sin(direction)])
    middle = np.array(picture.shape[::-1]) / 4 * pitch
    start = middle + generator.uniform(-0.5, 0.5, 2) * (slack - np.abs(travel)) - travel / 2
    motion = smooth_motion(
        generator, frames, speed=speed, direction=direction, growth=growth, start=(float(start[0]), float(start[1]))
    )
    words, content = split_of_sources()["contents"][photograph]
    texts = captions.camera_captions(words, motion.velocity, growth)
    return [Layer(picture, motion)], texts, {"photograph", content}


def _camera(generator: Generator, frames: int, canvas: textures.Picture) -> tuple[Layer, float]:
    growth = _growth(generator)
    motion = smooth_motion(
        generator, frames, speed=_speed(generator, 17.0), direction=generator.uniform(-np.pi, np.pi), growth=growth
    )
    return Layer(canvas, motion), growth


def _growth(generator: Generator) -> float:
    return float(generator.uniform(-0.6, 0.6)) if generator.random() < 0.5 else 0.0
