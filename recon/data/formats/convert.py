"""Conversion of a session to a recording: one frame rate, trials cut at missing data, tiers split by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from recon.data.duplicates.find import Progress, duplicate_groups, signature, split_by_content
from recon.data.formats.clocks import frame_times, frames_on, interpolated, long_frames, responses_at
from recon.data.formats.plausible import check_clocks
from recon.data.formats.session import BEHAVIOR, Session, ShownStimulus, Spikes
from recon.data.layout import ABSENT, DEGREES_PER_PIXEL, MAX_FRAMES, TEST, TIERS, VALIDATION, Array, grey_levels
from recon.data.onsets import ONSETS, delay
from recon.data.resize import Resizing, Size, largest_within, resizing
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative

RATE = 30.0
"""Default frame rate in Hz, if neither settings nor session give one."""
LARGEST_FRAME = (36, 64)
"""Default bound of the frame size: that of the Sensorium movies."""
Resizings = Mapping[Size, Resizing]
"""Crop and resizing by the size of the presented frames."""


@dataclass(frozen=True)
class Conversion:
    """Settings of a conversion: frames of `frame_size` (H, W) at `rate` Hz, at most `trial_frames` frames per trial.

    The default frame size is the largest within 36×64 with the aspect ratio of the source. Another aspect ratio is
    refused, unless `crop` keeps the central part that has it.

    `rate` 0 means the session's rate, or 30 if its streams have their own clocks. Every still image is one trial.

    The responses of a frame are read `lag` seconds after its onset, and `drift` ms later for every minute since the
    first presentation. Gaps in behavior of up to `fill` seconds are interpolated. A trial ends at longer gaps and at
    missing responses; pieces below `shortest` frames are dropped.
    `degrees_per_pixel`: of a pixel of the source, if the session gives none; 0 if unknown. Presentations without a tier
    are split by content into the fractions `validation` and `test`, and training.
    """

    rate: NonNegative = 0.0
    frame_size: tuple[Count, Count] | None = None
    crop: bool = False
    trial_frames: Count = MAX_FRAMES
    shortest: Count = 60
    lag: Annotated[float, Field(ge=-60, le=60)] = 0.0
    drift: float = 0.0
    fill: NonNegative = 1.0
    degrees_per_pixel: Annotated[NonNegative, Field(le=360)] = 0.0
    validation: Fraction = 0.1
    test: Fraction = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.trial_frames <= MAX_FRAMES or self.rate < 0 or self.fill < 0:
            raise InputError(
                f"settings: expected 1 ≤ shortest ≤ trial_frames ≤ {MAX_FRAMES}, rate and fill of at least 0, "
                f"got {self.shortest}, {self.trial_frames}, {self.rate:g} and {self.fill:g}; correct them"
            )


@dataclass(frozen=True)
class PresentationSlice:
    """A trial to be written: frames [first, end) of presentation `shown` at the rate of the conversion."""

    shown: int
    first: int
    end: int


@dataclass(frozen=True)
class Aligned:
    """Responses `(N,T)` and behavior `(4,T)` of frames with onsets `times` `(T,)`; NaN where unknown."""

    times: Array
    responses: Array
    behavior: Array | None


def convert(
    session: Session,
    destination: Path | str,
    settings: Conversion | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = iter,
) -> SensoriumRecording:
    """Write a session atomically as a recording in the canonical layout and return it.

    `notes` in the recording's `made_by` lists irregularities: dropped frames, gaps, short presentations. Raises
    InputError if no trial is left.
    """
    check_clocks(session)
    chosen = suited(settings or Conversion(), session)
    screen = resizings(session, chosen)
    notes = [*session.notes, *_notes_on(session, chosen, screen)]
    numbers = list(range(len(session.shown)))
    pieces, lost = list[PresentationSlice](), 0
    for number in progress(numbers):
        found, left_out = _pieces(session, number, chosen)
        pieces, lost = pieces + found, lost + left_out
    if not pieces:
        raise InputError(
            f"{session.name}: expected presentations of at least {chosen.shortest} frames with responses, got none; "
            "check the clocks of stimulus and responses, or lower shortest"
        )
    if lost:
        notes.append(f"{lost / chosen.rate:.1f} s of movie without responses or behavior, or too short, are left out")
    writer = RecordingWriter(
        destination,
        unit_ids=session.unit_ids,
        coordinates=session.coordinates,
        frame_rate=chosen.rate,
        degrees_per_pixel=_degrees(session, chosen, screen),
        name=session.name,
        signal=session.signal,
        made_by={
            "command": "recon data convert",
            "settings_of_conversion": asdict(chosen),
            "notes": notes,
            "decided": dict(session.decided),
            **({} if session.stills else {ONSETS: _onsets(session, pieces, chosen)}),
            **session.origin,
        },
        overwrite=overwrite,
    )
    with writer:
        if session.areas:
            writer.write_areas(session.areas)
        tiers = _tiers(session, pieces, chosen, screen)
        for index in progress(range(len(pieces))):
            piece = pieces[index]
            video = _video(session.shown[piece.shown], piece, chosen, screen)
            _write(writer, index, video=video, session=session, piece=piece, tier=tiers[index], settings=chosen)
    return SensoriumRecording(writer.destination)


def suited(settings: Conversion, session: Session) -> Conversion:
    """Return the settings with the session's rate as default; for still images, at its rate and one frame per trial."""
    rate = settings.rate or session.rate or RATE
    if not session.stills:
        return replace(settings, rate=rate)
    return replace(settings, rate=session.rate, shortest=1, trial_frames=1)


def resizings(session: Session, settings: Conversion) -> Resizings:
    """Return the resizing of each size of the presented frames, from the first frame of every presentation."""
    sizes = dict.fromkeys(_size(np.asarray(shown.read(np.zeros(1, dtype=np.int64)))) for shown in session.shown)
    size = settings.frame_size
    if size is None and sizes:
        first = next(iter(sizes))
        fits = first[0] <= LARGEST_FRAME[0] and first[1] <= LARGEST_FRAME[1]
        size = first if fits else largest_within(first, LARGEST_FRAME)
    return {source: resizing(source, size, crop=settings.crop) for source in sizes}


def aligned(
    session: Session, shown: ShownStimulus, settings: Conversion, *, span: tuple[int, int] | None = None
) -> Aligned:
    """Return responses and behavior of the frames of a presentation, or of its frames `span` [first, end)."""
    times = frame_times(shown, settings.rate)
    times = times if span is None else times[span[0] : span[1]]
    late = delay(times - session.start, lag=settings.lag, drift=settings.drift)
    responses = responses_at(session.responses, times + late, settings.rate)
    if not any(name in session.behavior for name in BEHAVIOR[:2]):
        return Aligned(times, responses, None)
    rows = [
        interpolated(session.behavior[name], times, longest=settings.fill)[0]
        if name in session.behavior
        else np.zeros(len(times))
        for name in BEHAVIOR
    ]
    return Aligned(times, responses, np.stack(rows))


def _onsets(session: Session, pieces: Sequence[PresentationSlice], settings: Conversion) -> list[float]:
    return [round(float(session.shown[p.shown].onsets[0]) - session.start + p.first / settings.rate, 6) for p in pieces]


def _pieces(session: Session, number: int, settings: Conversion) -> tuple[list[PresentationSlice], int]:
    """Return the trials of a presentation and the number of frames in no trial."""
    shown = session.shown[number]
    total = len(frame_times(shown, settings.rate))
    if total == 0:
        return [], 0
    found = aligned(session, shown, settings)
    every = found.responses if found.behavior is None else np.concatenate([found.responses, found.behavior])
    known = np.asarray(np.isfinite(every).all(0))
    pieces = [
        PresentationSlice(number, first, end)
        for low, high in _runs(known)
        for first, end in pairwise([*range(low, high, settings.trial_frames), high])
        if end - first >= settings.shortest
    ]
    return pieces, total - sum(piece.end - piece.first for piece in pieces)


def _runs(known: Array) -> Iterator[tuple[int, int]]:
    """Yield the ranges [first, end) of known frames.

    >>> list(_runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    for first, end in edges.reshape(-1, 2):
        yield int(first), int(end)


def _video(shown: ShownStimulus, piece: PresentationSlice, settings: Conversion, screen: Resizings) -> Array:
    """Return a trial's frames `(T,H,W)` uint8; each presented frame is read and resized once."""
    times = frame_times(shown, settings.rate)[piece.first : piece.end]
    numbers, place = np.unique(frames_on(shown, times, settings.rate), return_inverse=True)
    frames = np.asarray(shown.read(numbers), dtype=np.float32)
    if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 255:
        raise InputError(
            f"presentation {shown.content}: expected grey levels 0–255, got {frames.min():g} to {frames.max():g}; "
            "rescale the movie"
        )
    if _size(frames) not in screen:
        raise InputError(f"presentation {shown.content}: expected frames of one size, got {_size(frames)}; repair it")
    return np.ascontiguousarray(grey_levels(screen[_size(frames)].apply(frames))[place])


def _tiers(session: Session, pieces: Sequence[PresentationSlice], settings: Conversion, screen: Resizings) -> list[str]:
    """Return the publisher's tiers, or a split by content, which reads all movies."""
    asked = [session.shown[piece.shown].tier for piece in pieces]
    wrong = sorted({tier for tier in asked if tier and (tier not in TIERS or tier == ABSENT)})
    if wrong:
        raise InputError(f"{session.name}: expected tiers of {TIERS[:-1]}, got {wrong}; map them")
    if all(asked):
        return asked
    if any(asked):
        raise InputError(f"{session.name}: expected a tier for all presentations or for none, got both; complete them")
    videos = (_video(session.shown[piece.shown], piece, settings, screen) for piece in pieces)
    groups = duplicate_groups([signature(video) for video in videos])
    return list(split_by_content(groups, {VALIDATION: settings.validation, TEST: settings.test}, seed=None))


def _write(
    writer: RecordingWriter,
    index: int,
    *,
    video: Array,
    session: Session,
    piece: PresentationSlice,
    tier: str,
    settings: Conversion,
) -> None:
    found = aligned(session, session.shown[piece.shown], settings, span=(piece.first, piece.end))
    writer.write_trial(
        index,
        tier=tier,
        video=video,
        responses=found.responses,
        behavior=None if found.behavior is None else found.behavior[:2],
        pupil_center=None if found.behavior is None else found.behavior[2:],
    )


def _size(frames: Array) -> Size:
    return int(frames.shape[1]), int(frames.shape[2])


def _degrees(session: Session, settings: Conversion, screen: Resizings) -> float:
    """Return the degrees of a pixel of the recording; frames of several sizes are taken to fill the same screen."""
    known = session.degrees_per_pixel or settings.degrees_per_pixel
    return next(iter(screen.values())).degrees(known) if known and screen else DEGREES_PER_PIXEL


def _notes_on(session: Session, settings: Conversion, screen: Resizings) -> list[str]:
    late = [long_frames(shown) for shown in session.shown]
    notes = [note for framed in screen.values() for note in framed.notes()]
    if sum(late):
        notes.append(
            f"{sum(late)} frames of {sum(map(bool, late))} presentations were shown for more than 1.5 intervals "
            "(dropped frames); the movie keeps what was on screen"
        )
    missing = [name for name in BEHAVIOR if name not in session.behavior]
    if missing and any(name in session.behavior for name in BEHAVIOR[:2]):
        notes.append(f"{', '.join(missing)} not recorded: zero")
    if not (session.degrees_per_pixel or settings.degrees_per_pixel):
        notes.append(f"degrees per pixel are unknown: {DEGREES_PER_PIXEL:g} is assumed")
    if isinstance(session.responses, Spikes):
        notes.append("responses are spikes per frame")
    return notes
