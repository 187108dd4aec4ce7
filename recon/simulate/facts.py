"""Facts about a scene that its captions name and that judges of words are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recon.simulate.captions import PLACES, direction_of, growth_class, speed_class
from recon.simulate.render import Layer


@dataclass(frozen=True)
class ObjectFacts:
    """An object: what it is, how it moves, and where it is.

    `place` is one of `captions.PLACES`, in the middle of the scene; `start` and `end` are the places in the first and
    last frame. All three are equal where the object stays in one place, or leaves the screen and re-enters opposite.
    """

    shape: str
    texture: str
    size: str
    direction: str
    speed: str
    growth: str
    place: str
    start: str
    end: str


@dataclass(frozen=True)
class SceneFacts:
    """Content and motion of a scene; `objects` from back to front.

    `kind` is leaves, objects, pan or photograph. `surface` is "large leaves", "small leaves", "clouds" or the content
    of a photograph. Direction and speed are those of the image; `direction` is empty where it stays almost still.
    """

    kind: str
    surface: str
    direction: str
    speed: str
    growth: str
    objects: tuple[ObjectFacts, ...] = ()


class MotionFacts(NamedTuple):
    """Direction, speed and growth in words."""

    direction: str
    speed: str
    growth: str


def motion_facts(velocity: tuple[float, float], growth: float) -> MotionFacts:
    """Return direction, speed and growth in words.

    >>> tuple(motion_facts((0.0, -12.0), 0.4))
    ('upwards', 'steady', 'closer')
    """
    return MotionFacts(direction_of(velocity), speed_class(velocity), growth_class(growth))


def places(layer: Layer, screen: tuple[float, float]) -> dict[str, str]:
    """Return where an object is in the middle, in the first and in the last frame of its scene."""
    span = np.asarray(layer.wrap)
    path = np.remainder(layer.motion.shift + span / 2, span) - span / 2
    named = [_place(path[frame], screen) for frame in (len(path) // 2, 0, -1)]
    returned = (np.abs(np.diff(path, axis=0)) > span / 2).any()
    middle, start, end = named[:1] * 3 if returned else named
    return {"place": middle, "start": start, "end": end}


def _place(position: NDArray[np.float64], screen: tuple[float, float]) -> str:
    """Return the name of the ninth of the screen that holds a position (x right, y down, from the centre)."""
    column, row = (int(np.searchsorted((-side / 6, side / 6), at)) for at, side in zip(position, screen, strict=True))
    return PLACES[3 * row + column]
