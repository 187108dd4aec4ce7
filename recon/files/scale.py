"""Scale of the movies that weights were trained on: stated in their file, compared with that of a recording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from recon.errors import InputError
from recon.errors.ranges import Count, Positive
from recon.files.weights import from_json, from_mapping

KEY = "scale"
"""Entry of a file's header."""
TOLERANCE = 0.05
"""Relative difference up to which rates and visual angles are the same."""


@dataclass(frozen=True)
class Scale:
    """Frame size (height, width) in pixels, frame rate in Hz and degrees of visual angle per pixel of movies."""

    frame_size: tuple[Count, Count]
    frame_rate: Positive
    degrees_per_pixel: Positive

    def __str__(self) -> str:
        height, width = self.frame_size
        return f"{height} × {width} pixels of {self.degrees_per_pixel:.4g}° at {self.frame_rate:.4g} Hz"

    def header(self) -> dict[str, str]:
        """Return the entry of a file's header."""
        return {KEY: json.dumps(asdict(self))}


def scale_in(header: Mapping[str, str], where: object) -> Scale | None:
    """Return the scale in a file's header; None in files that were written without one."""
    if KEY not in header:
        return None
    place = f"{where}: {KEY}"
    return from_mapping(Scale, from_json(header[KEY], where=place), where=place)


def check_scale(trained: Scale | None, seen: Scale, *, what: str, remedy: str, moving: bool = True) -> None:
    """Raise InputError where movies have another size, rate or visual angle than those that weights were trained on.

    `moving`: whether the rate counts, which still images do not have.
    """
    if trained is None:
        return
    pairs = [(trained.degrees_per_pixel, seen.degrees_per_pixel)]
    pairs += [(trained.frame_rate, seen.frame_rate)] * moving
    differs = any(abs(known - found) > TOLERANCE * known for known, found in pairs)
    if differs or trained.frame_size != seen.frame_size:
        raise InputError(f"{what}: expected movies of {trained}, as it was trained on, got {seen}; {remedy}")
