"""Captions of content and motion, generated from the parameters of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PHRASINGS = 3
"""One caption and two paraphrases."""
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


def movement(velocity: tuple[float, float], *, growth: float = 0.0, phrasing: int = 0) -> str:
    """Return a predicate for motion and growth (change of log scale) in one of three phrasings.

    >>> movement((0.0, -12.0))
    'moves steadily upwards'
    """
    kind = speed_class(velocity)
    verb = _VERBS[phrasing][kind]
    words = verb if kind == "still" else f"{verb} {direction_words(velocity)}"
    if abs(growth) < 0.15:
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


def objects_captions(
    subjects: Sequence[tuple[str, tuple[float, float], float]], background: str, *, moving: str
) -> tuple[str, ...]:
    """Return a caption and paraphrases for objects (noun phrase, velocity, growth) in front of a background."""
    captions = []
    for phrasing in range(PHRASINGS):
        parts = [f"{name} {movement(v, growth=growth, phrasing=phrasing)}" for name, v, growth in subjects]
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        places = (f"over {background}", f"in front of {background}", f"against {background}")
        captions.append(f"{listed} {places[phrasing]}{moving}")
    return tuple(captions)


def surface_captions(surface: str, velocity: tuple[float, float], growth: float) -> tuple[str, ...]:
    """Return a caption and paraphrases for a surface that fills the screen."""
    return tuple(f"{surface} {movement(velocity, growth=growth, phrasing=k)}" for k in range(PHRASINGS))


def camera_captions(surface: str, velocity: tuple[float, float], growth: float) -> tuple[str, ...]:
    """Return a caption and paraphrases for a camera movement; the camera moves opposite to the image `velocity`."""
    camera = (-velocity[0], -velocity[1])
    kind, where = speed_class(camera), direction_words(camera)
    pace = {"still": "", "slow": " slowly", "steady": "", "fast": " quickly"}[kind]
    zoom = "" if abs(growth) < 0.15 else " while zooming in" if growth > 0 else " while zooming out"
    if kind == "still":
        return (
            f"a steady view of {surface}{zoom}",
            f"the camera rests on {surface}{zoom}",
            f"{surface}, seen by a camera that hardly moves{zoom}",
        )
    return (
        f"the camera pans{pace} {where} over {surface}{zoom}",
        f"the view wanders{pace} {where} across {surface}{zoom}",
        f"{surface}, seen by a camera moving{pace} {where}{zoom}",
    )


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
