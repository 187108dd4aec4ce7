"""A session: streams with timestamps and stimulus presentations; every format reader returns one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from recon.data.arrays import Stored
from recon.data.formats.placement import Degrees
from recon.data.layout import Array
from recon.data.unit_ids import Ids
from recon.errors import InputError

FEWEST = 2
"""Fewest samples of a stream."""
BEHAVIOR = ("pupil_dilation", "running_speed", "pupil_x", "pupil_y")
"""Behavior streams, in the order of a trial's rows."""
LONGEST = 86400.0
"""Maximum duration of a presentation in seconds."""


@dataclass(frozen=True)
class Stream:
    """Samples `values` `(S,n)`, read in slices, at increasing `times` `(S,)` in seconds.

    `shifts` `(n,)` in seconds are added to the times of each signal, for scan lines and planes. NaN marks a missing
    sample.
    """

    times: Array
    values: Stored
    shifts: Array | None = None

    def __post_init__(self) -> None:
        if len(self.values.shape) != 2 or len(self.times) != self.values.shape[0] or len(self.times) < FEWEST:
            raise InputError(
                f"stream: expected at least 2 samples and a time for each, got times {np.shape(self.times)} and values "
                f"{tuple(self.values.shape)}; cut both to one length"
            )
        if not bool((np.diff(self.times) > 0).all()):
            raise InputError(
                f"stream: expected increasing times, got {int((~(np.diff(self.times) > 0)).sum())} steps that do not "
                "increase; sort the samples and leave out those without a time"
            )


@dataclass(frozen=True)
class Spikes:
    """Sorted spike times of every unit in seconds, recorded during `span` (first, end)."""

    times: Sequence[Array]
    span: tuple[float, float]


@dataclass(frozen=True)
class ShownStimulus:
    """One presentation: frame i appears at `onsets[i]` seconds, and the last frame disappears at `end`.

    `read` returns frames by number, `(k,H,W)`, grey levels 0–255. `content` identifies the stimulus (equal for
    repeats). `tier` is the publisher's, "" if there is none.

    `degrees` are height and width of a pixel of the frames in visual degrees, (0, 0) if unknown. `paced`: the frames
    follow each other at one rate, so that a longer one is a dropped frame; False for flashes and their pauses.
    """

    onsets: Array
    end: float
    read: Callable[[Array], Array]
    content: str = ""
    tier: str = ""
    degrees: Degrees = (0.0, 0.0)
    paced: bool = True

    def __post_init__(self) -> None:
        if len(self.onsets) == 0 or not bool(np.isfinite(self.onsets).all()) or not self.end > self.onsets[-1]:
            raise InputError(
                f"presentation {self.content}: expected the times of its frames and a later end, got "
                f"{len(self.onsets)} times and {self.end}; check the stimulus table"
            )
        if self.end - self.onsets[0] > LONGEST:
            raise InputError(
                f"presentation {self.content}: expected at most a day, got {self.end - self.onsets[0]:g} s; correct "
                "the unit of its times"
            )
        if any(later <= earlier for earlier, later in pairwise(self.onsets)):
            raise InputError(f"presentation {self.content}: expected increasing frame times; check the clock")


@dataclass(frozen=True)
class Session:
    """One recording session: units, activity, behavior (names of `BEHAVIOR`) and all presentations.

    `coordinates` `(N,3)` in µm and `areas` are optional; `notes` describe irregularities. `rate` (Hz) is the common
    frame rate of data published frame by frame, or 0 if streams have their own clocks. `whole`: every
    presentation is a trial, sampled at its frames, which is copied as it is. `stills`: every presentation is one image.
    `origin` is the provenance stored with the recording. `signal` is one of
    `recon.data.layout.SIGNALS`, "" if unknown. `decided` is what the reader chose where the source leaves a choice, by
    topic (scale, rate, clock, tiers, missing, …), one sentence each; `recon data check` prints it. `screen` is the
    visible screen (height, width) in degrees on which presentations with known `degrees` are placed; (0, 0): frames
    fill it.
    """

    name: str
    unit_ids: Ids
    responses: Stream | Spikes
    shown: Sequence[ShownStimulus]
    behavior: Mapping[str, Stream] = field(default_factory=dict)
    coordinates: Array | None = None
    areas: Sequence[str] = ()
    degrees_per_pixel: float = 0.0
    notes: Sequence[str] = ()
    rate: float = 0.0
    stills: bool = False
    whole: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)
    signal: str = ""
    decided: Mapping[str, str] = field(default_factory=dict)
    screen: Degrees = (0.0, 0.0)

    @property
    def start(self) -> float:
        """Onset of the first presentation in seconds: drift and the onsets of trials count from there."""
        return min((float(shown.onsets[0]) for shown in self.shown), default=0.0)
