"""Captions of content, motion and place, generated from the parameters of a scene.

People name place, size, order and direction at times and at times not. The first three phrasings name size and
direction, the next two the place of objects, and the last neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

PHRASINGS = 6
"""Captions of a scene: three of content and motion, two with places, and a brief one."""
WITH_PLACE = (3, 4)
"""Phrasings that name where objects are: the first with their direction, the second with their order in depth."""
PLACES = (
    "in the upper left",
    "at the top",
    "in the upper right",
    "on the left",
    "in the centre",
    "on the right",
    "in the lower left",
    "at the bottom",
    "in the lower right",
)
"""Ninths of the screen, row by row."""
_DIRECTIONS = (
    "to the right",
    "up and to the right",
    "upwards",
    "up and to the left",
    "to the left",
    "down and to the left",
    "downwards",
    "down and to the right",
)
_STILL, _SLOW, _FAST = 2.0, 9.0, 25.0
"""Class boundaries in degrees per second."""
_GROWING = 0.15
"""Smallest change of log scale that is named."""
_VERBS = (
    {"still": "stays almost still", "slow": "drifts slowly", "steady": "moves steadily", "fast": "moves quickly"},
    {"still": "hardly moves", "slow": "glides gently", "steady": "travels", "fast": "rushes"},
    {"still": "is nearly motionless", "slow": "creeps", "steady": "shifts", "fast": "sweeps rapidly"},
)


def direction_words(velocity: tuple[float, float]) -> str:
    """Return the direction of an image velocity (x right, y down) in words.

    >>> direction_words((-5.0, 0.2))
    'to the left'
    """
    angle = np.arctan2(-velocity[1], velocity[0])
    return _DIRECTIONS[round(angle / (np.pi / 4)) % 8]


def speed_class(velocity: tuple[float, float]) -> str:
    """Classify an image velocity in degrees per second as still, slow, steady or fast.

    >>> speed_class((30.0, 0.0))
    'fast'
    """
    speed = float(np.hypot(*velocity))
    names = ("still", "slow", "steady", "fast")
    return names[int(np.searchsorted((_STILL, _SLOW, _FAST), speed, side="right"))]


def direction_of(velocity: tuple[float, float]) -> str:
    """Return the direction of an image velocity in words; empty where it is almost still."""
    return "" if speed_class(velocity) == "still" else direction_words(velocity)


def growth_class(growth: float) -> str:
    """Classify a change of log scale as closer, away or, if it is small, as an empty text."""
    return "" if abs(growth) < _GROWING else "closer" if growth > 0 else "away"


def movement(velocity: tuple[float, float], *, growth: float = 0.0, phrasing: int = 0) -> str:
    """Return a predicate for motion and growth (change of log scale) in one of three phrasings.

    >>> movement((0.0, -12.0))
    'moves steadily upwards'
    """
    kind = speed_class(velocity)
    verb = _VERBS[phrasing][kind]
    words = verb if kind == "still" else f"{verb} {direction_words(velocity)}"
    if not growth_class(growth):
        return words
    closer = ("coming closer", "growing larger", "approaching")[phrasing]
    away = ("moving away", "shrinking", "receding")[phrasing]
    return f"{words} while {closer if growth > 0 else away}"


def object_words(size: str, texture: str, shape: str) -> str:
    """Return a noun phrase with its article.

    >>> object_words("small", "plain", "star")
    'a small plain star'
    """
    return f"a {size} {texture} {shape}"


@dataclass(frozen=True)
class SubjectWords:
    """An object of a scene as captions name it: velocity in degrees per second, growth, and its places over time.

    `place` is that in the middle of the scene, `start` and `end` those in its first and last frame.
    """

    size: str
    texture: str
    shape: str
    velocity: tuple[float, float]
    growth: float
    place: str
    start: str
    end: str

    @property
    def name(self) -> str:
        """Noun phrase with size, texture and shape."""
        return object_words(self.size, self.texture, self.shape)

    def moving(self, phrasing: int) -> str:
        """Return name and movement in one of three phrasings."""
        return f"{self.name} {movement(self.velocity, growth=self.growth, phrasing=phrasing)}"

    def moving_somewhere(self) -> str:
        """Return name, place and movement; from where to where the object goes if it changes its place."""
        predicate = movement(self.velocity, growth=self.growth)
        if self.start == self.end:
            return f"{self.name} {self.place} {predicate}"
        return f"{self.name} {predicate}, from {_spot(self.start)} to {_spot(self.end)}"


def objects_captions(subjects: Sequence[SubjectWords], background: str, *, moving: str) -> tuple[str, ...]:
    """Return the captions of objects, from back to front, before a background; `moving` says how that moves."""
    places = (f"over {background}", f"in front of {background}", f"against {background}")
    first = [f"{_listed([one.moving(k) for one in subjects])} {places[k]}{moving}" for k in range(len(places))]
    somewhere = f"{_listed([one.moving_somewhere() for one in subjects])} over {background}{moving}"
    order = ", in front of ".join(f"{one.name} {one.place}" for one in reversed(subjects))
    brief = _listed([f"a {one.texture} {one.shape}" for one in subjects])
    return (*first, somewhere, f"{order}, over {background}", f"{brief} over {_bare(background)}")


def surface_captions(surface: str, velocity: tuple[float, float], growth: float) -> tuple[str, ...]:
    """Return the captions of a surface that fills the screen."""
    first = [f"{surface} {movement(velocity, growth=growth, phrasing=k)}" for k in range(3)]
    filling = f"{surface} fills the whole screen and {movement(velocity, growth=growth)}"
    return (*first, filling, f"the whole screen is filled by {surface}", _bare(surface))


def camera_captions(surface: str, velocity: tuple[float, float], growth: float) -> tuple[str, ...]:
    """Return the captions of a camera movement; the camera moves opposite to the image `velocity`."""
    camera = (-velocity[0], -velocity[1])
    kind, where = speed_class(camera), direction_words(camera)
    pace = {"still": "", "slow": " slowly", "steady": "", "fast": " quickly"}[kind]
    zoom = {"": "", "closer": " while zooming in", "away": " while zooming out"}[growth_class(growth)]
    filling, brief = f"the whole screen shows {surface}", f"a view of {_bare(surface)}"
    if kind == "still":
        return (
            f"a steady view of {surface}{zoom}",
            f"the camera rests on {surface}{zoom}",
            f"{surface}, seen by a camera that hardly moves{zoom}",
            f"{filling}, seen by a steady camera{zoom}",
            filling,
            brief,
        )
    return (
        f"the camera pans{pace} {where} over {surface}{zoom}",
        f"the view wanders{pace} {where} across {surface}{zoom}",
        f"{surface}, seen by a camera moving{pace} {where}{zoom}",
        f"{filling} while the camera pans{pace} {where}{zoom}",
        filling,
        brief,
    )


def mirrored(text: str) -> str:
    """Return a caption of the scene mirrored left to right.

    >>> mirrored("a star on the left moves to the right")
    'a star on the right moves to the left'
    """
    return " ".join(_swapped(text))


def _swapped(text: str) -> Iterator[str]:
    other = {"left": "right", "right": "left"}
    for word in text.split(" "):
        core = word.rstrip(",.")
        yield other.get(core, core) + word[len(core) :]


def _spot(place: str) -> str:
    return place.split(" ", 1)[1]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _bare(surface: str) -> str:
    """Return what a surface consists of, without its size and extent; photographs keep their name."""
    made_of = {"leaves": "leaves", "cloudy": "clouds"}
    return next((made_of[word] for word in surface.split() if word in made_of), surface)


def joined(scenes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Join the captions of a clip's scenes in order, one text per phrasing.

    >>> joined([["a"], ["b"]])
    ('A. Then b.',)
    """
    texts = []
    for captions in zip(*scenes, strict=True):
        first, *others = captions
        texts.append(" ".join([f"{first[0].upper()}{first[1:]}.", *(f"Then {text}." for text in others)]))
    return tuple(texts)
