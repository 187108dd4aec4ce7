"""Framing of a session's frames: how frames of each size and scale become frames of the recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recon.data.formats.placement import Degrees, Placement, placement, screen_pixels
from recon.data.formats.session import Session, ShownStimulus
from recon.data.layout import DEGREES_PER_PIXEL, Array
from recon.data.resize import Resizing, Size, largest_within, resizing
from recon.errors import InputError

LARGEST_FRAME = (36, 64)
"""Default bound of the frame size: that of the Sensorium movies."""
Framings = Mapping[tuple[Size, Degrees], Resizing | Placement]
"""Crop and resizing, or placement on the screen, by size and degrees per pixel of the presented frames."""


def framings(session: Session, frame_size: Size | None, *, crop: bool) -> Framings:
    """Return the framing of each kind of presented frames, from the first frame of every presentation.

    Frames of known scale are placed on the session's screen; all others fill it.
    """
    kinds = dict.fromkeys(_kind(shown, shown.read(np.zeros(1, dtype=np.int64))) for shown in session.shown)
    placed = all(session.screen) and any(all(degrees) for _, degrees in kinds)
    size = frame_size
    if size is None and kinds:
        first = screen_pixels(session.screen) if placed else next(iter(kinds))[0]
        fits = first[0] <= LARGEST_FRAME[0] and first[1] <= LARGEST_FRAME[1]
        size = first if fits else largest_within(first, LARGEST_FRAME)
    found: dict[tuple[Size, Degrees], Resizing | Placement] = {}
    for source, degrees in kinds:
        if placed and size is not None and all(degrees):
            found[source, degrees] = placement(source, degrees, screen=session.screen, size=size, crop=crop)
        else:
            found[source, degrees] = resizing(source, size, crop=crop)
    return found


def framed(shown: ShownStimulus, frames: Array, framing: Framings) -> Array:
    """Return frames `(k,H,W)` of a presentation in the frame size of the recording, float32."""
    kind = _kind(shown, frames)
    if kind not in framing:
        raise InputError(f"presentation {shown.content}: expected frames of one size, got {kind[0]}; repair it")
    return framing[kind].apply(frames)


def degrees_of(session: Session, degrees_per_pixel: float, framing: Framings) -> float:
    """Return the degrees of a pixel of the recording.

    `degrees_per_pixel` of the source are used if the session has none; frames of several sizes and unknown scale are
    taken to fill the same screen.
    """
    placed = next((each for each in framing.values() if isinstance(each, Placement)), None)
    if placed is not None:
        return placed.degrees()
    known = session.degrees_per_pixel or degrees_per_pixel
    first = next((each for each in framing.values() if isinstance(each, Resizing)), None)
    return first.degrees(known) if known and first is not None else DEGREES_PER_PIXEL


def notes_of(session: Session, degrees_per_pixel: float, framing: Framings) -> list[str]:
    """Return a sentence for every crop, resizing or placement, and one if the scale is assumed."""
    notes = [note for each in framing.values() for note in each.notes()]
    placed = any(isinstance(each, Placement) for each in framing.values())
    if not (placed or session.degrees_per_pixel or degrees_per_pixel):
        notes.append(f"degrees per pixel are unknown: {DEGREES_PER_PIXEL:g} is assumed")
    return notes


def _kind(shown: ShownStimulus, frames: Array) -> tuple[Size, Degrees]:
    shape = np.asarray(frames).shape
    return (int(shape[1]), int(shape[2])), shown.degrees
