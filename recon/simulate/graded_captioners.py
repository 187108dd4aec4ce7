"""Captioners of graded quality for simulated recordings: ground truth for the analysis of captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recon.data.caption_tables import Said
from recon.errors import InputError
from recon.simulate.sources import split_of_sources
from recon.simulate.textures import SHAPES, TEXTURES
from recon.types import Recording

SURFACES = ("leaves", "cloudy")
GRADED = ("full", "objects", "texture", "half wrong", "unrelated")
"""Best to worst: scene and motion; objects only; textures only; another scene's caption for half of the scenes; another
scene's caption always."""


def graded_captions(recording: Recording, *, seed: int = 0) -> dict[str, list[Said]]:
    """Return the captions of every scene of a recording by each of the captioners `GRADED`.

    Raises InputError if the recording has no captions.
    """
    scenes = [
        (trial, caption.first, caption.end, caption.texts[0])
        for trial, tier in enumerate(recording.tiers)
        if tier != "none"
        for caption in recording.spoken(trial)
    ]
    if len({text for *_, text in scenes}) < 3:
        raise InputError(f"{recording.path}: expected captions of scenes, got none; simulate it or name a table")
    contents = dict.fromkeys(text for *_, text in scenes)
    others = dict(zip(contents, _elsewhere(list(contents), seed), strict=True))
    wrong = dict(zip(contents, np.random.default_rng([seed, 1]).random(len(contents)) < 0.5, strict=True))
    sayings: Mapping[str, Callable[[str], str]] = {
        "full": str,
        "objects": lambda text: _subject(text) or _kept(text, (*SHAPES, *SURFACES)),
        "texture": lambda text: _kept(text, (*TEXTURES, *SURFACES)),
        "half wrong": lambda text: others[text] if wrong[text] else text,
        "unrelated": lambda text: others[text],
    }
    return {
        name: [Said(trial, first, end, name, sayings[name](text)) for trial, first, end, text in scenes]
        for name in GRADED
    }


def _kept(text: str, words: Sequence[str]) -> str:
    """Return the words of a text that are in `words`, in order of appearance; "nothing" if there are none."""
    found = [word for word in re.findall(r"[a-z]+", text.lower()) if word in words]
    return " and ".join(dict.fromkeys(found)) or "nothing"


def _subject(text: str) -> str:
    """Return the description of the photograph that a text mentions; empty if it mentions none."""
    return next((words for words, _ in split_of_sources()["contents"].values() if words in text), "")


def _elsewhere(texts: Sequence[str], seed: int) -> list[str]:
    """Permute texts by a random cycle through all of them, so that none keeps its place."""
    order = np.random.default_rng([seed, 2]).permutation(len(texts))
    moved = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    return [texts[moved[place]] for place in range(len(texts))]
