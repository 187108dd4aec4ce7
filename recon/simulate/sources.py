"""The committed split of sources: photographs and seeds for training, validation, test and calibration."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError

SPLITS = ("train", "validation", "test", "calibration")
"""Their order is part of the seeds of clips and noise: a new split comes last."""
KINDS = ("leaves", "objects", "pan")
TRAINING_PHOTOGRAPHS = 0.18
"""Fraction of training scenes that show a photograph; only eight photographs are in the training split."""
SEEDS_PER_TRIAL = 16


@dataclass(frozen=True)
class SceneSource:
    """Source of a scene: the random `seed`, the `kind` of scene, and the `photograph`, if any."""

    seed: int
    kind: str
    photograph: str = ""

    @property
    def name(self) -> str:
        """Name of the source in the captions' sidecar file; equal names mean equal sources."""
        return f"photograph:{self.photograph}" if self.photograph else f"seed:{self.seed}"


@functools.cache
def split_of_sources() -> dict[str, Any]:
    """Return the committed split (`sources.json`)."""
    text = files("recon.simulate").joinpath("sources.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def scene_source(split: str, index: int, scene: int) -> SceneSource:
    """Return the source of one scene of clip `index`: one per scene in training, one per clip in the other splits.

    >>> scene_source("test", 3, 0).name == scene_source("test", 3, 1).name
    True
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if split == "calibration":
        return _calibration_source(index)
    return _training_source(index, scene) if split == "train" else _held_out_source(split, index)


def read_photograph(name: str) -> NDArray[np.float32]:
    """Return a photograph from scikit-image as grey values `[H,W]` in [0,255]."""
    from PIL import Image

    path = _photograph_folder() / name
    if not path.is_file():
        raise InputError(f"photograph {name}: expected it in {path.parent}, got nothing; install scikit-image again")
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32)


def _training_source(index: int, scene: int) -> SceneSource:
    seed = _seed("train", index * SEEDS_PER_TRIAL + scene)
    choice = np.random.default_rng([seed, 1])
    if choice.random() < TRAINING_PHOTOGRAPHS:
        names = split_of_sources()["photographs"]["train"]
        return SceneSource(seed, "photograph", str(names[choice.integers(len(names))]))
    return SceneSource(seed, KINDS[choice.choice(3, p=(0.36, 0.38, 0.26))])


def _held_out_source(split: str, index: int) -> SceneSource:
    """Return the source of a clip: every fourth is a photograph while any are left, others cycle through `KINDS`."""
    names, seed = split_of_sources()["photographs"][split], _seed(split, index)
    order, remainder = divmod(index, 4)
    if remainder == 3 and order < len(names):
        return SceneSource(seed, "photograph", str(names[order]))
    return SceneSource(seed, KINDS[(index - min(order, len(names))) % 3])


def _calibration_source(index: int) -> SceneSource:
    """Return the source of a calibration clip: a generated scene, its kind at random and all kinds equally likely.

    Independent draws of what a test clip after the photographs is, so that such a clip is exchangeable with them.
    """
    seed = _seed("calibration", index)
    return SceneSource(seed, KINDS[np.random.default_rng([seed, 1]).integers(len(KINDS))])


def _seed(split: str, offset: int) -> int:
    first, last = split_of_sources()["seeds"][split]
    if not 0 <= offset <= last - first:
        raise InputError(
            f"seeds of {split}: expected one of {last - first + 1}, got number {offset}; ask for fewer trials"
        )
    return int(first + offset)


def _photograph_folder() -> Path:
    specification = find_spec("skimage")
    if specification is None or specification.origin is None:
        raise InputError("scikit-image: expected it to be installed for its photographs, got nothing; pip install it")
    return Path(specification.origin).parent / "data"
