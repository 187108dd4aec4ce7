"""Scenes: content, motion, captions and attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.simulate import captions, textures
from recon.simulate.facts import ObjectFacts, SceneFacts, motion_facts, places
from recon.simulate.render import FRAME_RATE, OVERSAMPLING, Layer, smooth_motion
from recon.simulate.sources import SceneSource, split_of_sources
from recon.simulate.textures import SHAPES, TEXTURES, Generator

CONTENTS = ("person", "animal", "vehicle", "building", "plants", "ground", "still life", "sky", "writing", "microscopy")
ATTRIBUTES = ("leaves", "clouds", "photograph", *SHAPES, *TEXTURES, *CONTENTS)
"""Names of a scene's binary attributes; semantic neurons respond to a weighted sum of them."""
CANVAS = 320
"""Side of a periodic canvas in oversampled pixels (two per pixel of the movie, so 2.5 to 4.4 screens)."""
FASTEST = 60.0
SIZES = {"small": 0.17, "medium-sized": 0.27, "large": 0.4}
"""Radius of an object as a fraction of the screen's height."""


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, captions, attributes `[A]`, facts, mean grey level and contrast."""

    layers: list[Layer]
    captions: tuple[str, ...]
    attributes: NDArray[np.float32]
    facts: SceneFacts
    mean: float
    contrast: float


@dataclass(frozen=True)
class Stage:
    """Length of a scene in `frames`, `screen` (width, height) and `pitch` of oversampled pixels, both in degrees."""

    frames: int
    screen: tuple[float, float]
    pitch: float


def make_scene(
    source: SceneSource, part: int, *, frames: int, frame_size: tuple[int, int], degrees_per_pixel: float
) -> Scene:
    """Draw scene number `part` of a source, `frames` frames long."""
    generator = np.random.default_rng([source.seed, 2, part])
    screen = (frame_size[1] * degrees_per_pixel, frame_size[0] * degrees_per_pixel)
    stage = Stage(frames, screen, degrees_per_pixel / OVERSAMPLING)
    if source.photograph:
        layers, texts, shown, facts = _photograph(generator, stage, source.photograph)
    else:
        draw = {"leaves": _leaves, "objects": _objects, "pan": _pan}[source.kind]
        layers, texts, shown, facts = draw(generator, stage)
    attributes = np.array([name in shown for name in ATTRIBUTES], dtype=np.float32)
    return Scene(layers, texts, attributes, facts, mean=generator.uniform(75, 125), contrast=generator.uniform(38, 62))


Made = tuple[list[Layer], tuple[str, ...], set[str], SceneFacts]


def _speed(generator: Generator, mean: float) -> float:
    return float(min(generator.exponential(mean), FASTEST))


def _surface(generator: Generator) -> tuple[textures.Picture, str, str]:
    """Draw a canvas; return it with its name, as a background and in short."""
    if generator.random() < 0.65:
        coarse = generator.random() < 0.5
        canvas = textures.dead_leaves(generator, CANVAS, smallest=7.0 if coarse else 3.0)
        kind = _leaf_size(coarse)
        return canvas, f"a background of {kind}", kind
    return textures.clouds(generator, CANVAS), "a cloudy background", "clouds"


def _leaf_size(coarse: bool) -> str:
    return "large leaves" if coarse else "small leaves"


def _attribute(surface: str) -> str:
    return surface.split()[-1]


def _leaves(generator: Generator, stage: Stage) -> Made:
    """Draw a drifting or expanding sheet of leaves, with clumps in front that move faster (parallax)."""
    coarse = generator.random() < 0.5
    canvas = textures.dead_leaves(generator, CANVAS, smallest=7.0 if coarse else 3.0)
    direction, speed = generator.uniform(-np.pi, np.pi), _speed(generator, 11.0)
    growth = _growth(generator)
    motion = smooth_motion(generator, stage.frames, speed=speed, direction=direction, growth=growth)
    layers = [Layer(canvas, motion)]
    for _ in range(int(generator.integers(0, 4))):
        pace = speed * generator.uniform(1.3, 2.0)
        layers.append(_clump(generator, stage, canvas, speed=pace, direction=direction))
    surface = _leaf_size(coarse)
    texts = captions.surface_captions(f"a pile of {surface}", motion.velocity, growth)
    return layers, texts, {"leaves"}, SceneFacts("leaves", surface, *motion_facts(motion.velocity, growth))


def _clump(generator: Generator, stage: Stage, canvas: textures.Picture, *, speed: float, direction: float) -> Layer:
    screen, radius = stage.screen, generator.uniform(0.15, 0.35) * stage.screen[1]
    _, opacity = textures.sprite(generator, "disc", "plain", radius=radius / stage.pitch)
    offset, side = generator.integers(CANVAS, size=2), np.arange(len(opacity))
    values = canvas[np.ix_((offset[0] + side) % CANVAS, (offset[1] + side) % CANVAS)]
    x, y = generator.uniform(-0.5, 0.5, 2) * screen
    motion = smooth_motion(generator, stage.frames, speed=speed, direction=direction, start=(float(x), float(y)))
    reach = 2.6 * radius
    return Layer(values + np.float32(generator.normal(0, 0.8)), motion, opacity, (screen[0] + reach, screen[1] + reach))


def _objects(generator: Generator, stage: Stage) -> Made:
    """Draw one to four textured objects over a still or slowly drifting background."""
    canvas, background, surface = _surface(generator)
    drift = _speed(generator, 5.0) if generator.random() < 0.5 else 0.0
    behind = smooth_motion(generator, stage.frames, speed=drift, direction=generator.uniform(-np.pi, np.pi))
    layers, subjects, objects, shown = [Layer(0.6 * canvas, behind)], [], [], {_attribute(surface)}
    for _ in range(int(generator.integers(1, 5))):
        shape, texture = str(generator.choice(SHAPES)), str(generator.choice(TEXTURES))
        size = str(generator.choice(list(SIZES)))
        radius = SIZES[size] * generator.uniform(0.85, 1.15) * stage.screen[1]
        layer = _moving_object(generator, stage, shape, texture, radius=radius)
        layers.append(layer)
        velocity, growth, where = layer.motion.velocity, layer.motion.growth, places(layer, stage.screen)
        subjects.append(captions.SubjectWords(size, texture, shape, velocity, growth, **where))
        objects.append(ObjectFacts(shape, texture, size, *motion_facts(velocity, growth), **where))
        shown |= {shape, texture}
    facts = SceneFacts("objects", surface, *motion_facts(behind.velocity, 0.0), objects=tuple(objects))
    moving = f" that drifts {facts.direction}" if facts.direction else ""
    return layers, captions.objects_captions(subjects, background, moving=moving), shown, facts


def _moving_object(generator: Generator, stage: Stage, shape: str, texture: str, *, radius: float) -> Layer:
    values, opacity = textures.sprite(generator, shape, texture, radius=radius / stage.pitch)
    x, y = generator.uniform(-0.42, 0.42, 2) * stage.screen
    motion = smooth_motion(
        generator,
        stage.frames,
        speed=_speed(generator, 18.0),
        direction=generator.uniform(-np.pi, np.pi),
        start=(float(x), float(y)),
        growth=generator.uniform(-0.7, 0.7) if generator.random() < 0.4 else 0.0,
        spin=generator.uniform(-1.2, 1.2) if generator.random() < 0.5 else 0.0,
    )
    reach = 2.6 * radius * float(motion.scale.max())
    return Layer(values, motion, opacity, (stage.screen[0] + reach, stage.screen[1] + reach))


def _pan(generator: Generator, stage: Stage) -> Made:
    """Draw a camera that pans and zooms over a large canvas."""
    canvas, name, kind = _surface(generator)
    growth = _growth(generator)
    speed, direction = _speed(generator, 17.0), generator.uniform(-np.pi, np.pi)
    motion = smooth_motion(generator, stage.frames, speed=speed, direction=direction, growth=growth)
    surface = name.replace("a background of", "a wide field of").replace("a cloudy background", "a cloudy landscape")
    facts = SceneFacts("pan", kind, *motion_facts(motion.velocity, growth))
    texts = captions.camera_captions(surface, motion.velocity, growth)
    return [Layer(canvas, motion)], texts, {_attribute(kind)}, facts


def _photograph(generator: Generator, stage: Stage, photograph: str) -> Made:
    """Draw a camera that pans and zooms over a photograph wider than the screen, nearly within its borders."""
    width = round(generator.uniform(1.35, 2.4) * stage.screen[0] / stage.pitch)
    picture = textures.photograph(generator, photograph, width=width)
    growth, seconds = _growth(generator), stage.frames / FRAME_RATE
    size = np.array(picture.shape[::-1]) / 2 * stage.pitch
    slack = np.maximum(size - np.array(stage.screen) * np.exp(abs(growth) / 2), 0.0)
    direction = generator.uniform(-np.pi, np.pi)
    heading = np.array([np.cos(direction), -np.sin(direction)])
    fastest = float((slack / np.maximum(np.abs(heading), 1e-3)).min()) / seconds
    travel = min(_speed(generator, 14.0), fastest) * seconds * heading
    x, y = size / 2 + generator.uniform(-0.5, 0.5, 2) * (slack - np.abs(travel)) - travel / 2
    speed = float(np.hypot(*travel)) / seconds
    motion = smooth_motion(
        generator, stage.frames, speed=speed, direction=direction, growth=growth, start=(float(x), float(y))
    )
    words, content = split_of_sources()["contents"][photograph]
    texts = captions.camera_captions(words, motion.velocity, growth)
    facts = SceneFacts("photograph", content, *motion_facts(motion.velocity, growth))
    return [Layer(picture, motion)], texts, {"photograph", content}, facts


def _growth(generator: Generator) -> float:
    return float(generator.uniform(-0.6, 0.6)) if generator.random() < 0.5 else 0.0
