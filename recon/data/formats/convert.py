"""Conversion of a session to a recording: one frame rate, trials cut at missing data, tiers split by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from recon.data.duplicates.find import Progress, duplicate_groups, signature, split_by_content
from recon.data.formats.clocks import frame_times, frames_on, interpolated, responses_at
from recon.data.formats.decided import decided, irregularities
from recon.data.formats.framing import Framings, degrees_of, framed, framings
from recon.data.formats.neuron_gaps import FrameGaps, frame_gaps, masked_in, named, runs
from recon.data.formats.plausible import check_clocks
from recon.data.formats.session import BEHAVIOR, Session, ShownStimulus
from recon.data.formats.whole import copied
from recon.data.layout import ABSENT, MAX_FRAMES, TEST, TIERS, TRAIN, VALIDATION, Array, grey_levels
from recon.data.onsets import ONSETS, delay
from recon.data.sensorium import SensoriumRecording
from recon.data.writer import RecordingWriter
from recon.errors import InputError
from recon.errors.ranges import Count, Fraction, NonNegative

RATE = 30.0
"""Default frame rate in Hz, if neither settings nor session give one."""
FLASHES = -1
"""Group of the trials of flashed stimuli in a split by content."""


@dataclass(frozen=True)
class Conversion:
    """Settings of a conversion: frames of `frame_size` (H, W) at `rate` Hz, at most `trial_frames` frames per trial.

    The default frame size is the largest within 36×64 with the aspect ratio of the source. Another aspect ratio is
    refused, unless `crop` keeps the central part that has it.

    `rate` 0 means the session's rate, or 30 if its streams have their own clocks. Every still image is one trial.

    The responses of a frame are read `lag` seconds after its onset, and `drift` ms later for every minute since the
    first presentation. Gaps in behavior of up to `fill` seconds are interpolated; behavior is NaN in longer ones, and
    where it was not recorded. A trial ends where most neurons were not recorded and, with `cut_at_gaps`, where a
    recorded behavior is NaN; pieces below `shortest` frames are dropped. A neuron with NaN inside a trial is masked:
    reading the recording leaves it out.
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
    cut_at_gaps: bool = False
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
    if session.whole and settings in (None, Conversion()):
        made_by = _made_by(session, Conversion(), session.notes)
        return copied(session, destination, made_by=made_by, overwrite=overwrite, progress=progress)
    if not session.stills:
        check_clocks(session)
    chosen = suited(settings or Conversion(), session)
    screen = framings(session, chosen.frame_size, crop=chosen.crop)
    notes = [*session.notes, *irregularities(session, chosen.degrees_per_pixel, screen)]
    gaps = [_gaps(session, number, chosen) for number in progress(list(range(len(session.shown))))]
    masked = masked_in(gaps, session, shortest=chosen.shortest, rate=chosen.rate)
    notes += named(masked, gaps, session.unit_ids)
    whole = [one.complete(masked) for one in gaps]
    pieces = [piece for number, known in enumerate(whole) for piece in _pieces(number, known, chosen)]
    if not pieces:
        raise InputError(
            f"{session.name}: expected presentations of at least {chosen.shortest} frames with responses, got none; "
            "check the clocks of stimulus and responses, or lower shortest"
        )
    lost = sum(map(len, whole)) - sum(piece.end - piece.first for piece in pieces)
    if lost:
        what = "responses or behavior" if chosen.cut_at_gaps else "responses"
        notes.append(f"{lost / chosen.rate:.1f} s of movie without {what}, or too short, are left out")
    writer = RecordingWriter(
        destination,
        unit_ids=session.unit_ids,
        coordinates=session.coordinates,
        frame_rate=chosen.rate,
        degrees_per_pixel=degrees_of(session, chosen.degrees_per_pixel, screen),
        name=session.name,
        signal=session.signal,
        made_by={
            **_made_by(session, chosen, notes),
            **({} if session.stills else {ONSETS: _onsets(session, pieces, chosen)}),
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


def _made_by(session: Session, settings: Conversion, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "command": "recon data convert",
        "settings_of_conversion": asdict(settings),
        "notes": list(notes),
        "decided": decided(session, rate=settings.rate or session.rate, lag=settings.lag),
        **session.origin,
    }


def suited(settings: Conversion, session: Session) -> Conversion:
    """Return the settings with the session's rate as default; for still images, at its rate and one frame per trial."""
    rate = settings.rate or session.rate or RATE
    if not session.stills:
        return replace(settings, rate=rate)
    return replace(settings, rate=session.rate, shortest=1, trial_frames=1)


def aligned(
    session: Session, shown: ShownStimulus, settings: Conversion, *, span: tuple[int, int] | None = None
) -> Aligned:
    """Return responses and behavior of the frames of a presentation, or of its frames `span` [first, end)."""
    times = frame_times(shown, settings.rate)
    times = times if span is None else times[span[0] : span[1]]
    late = delay(times - session.start, lag=settings.lag, drift=settings.drift)
    responses = responses_at(session.responses, times + late, settings.rate)
    if not any(name in session.behavior for name in BEHAVIOR):
        return Aligned(times, responses, None)
    rows = [
        interpolated(session.behavior[name], times, longest=settings.fill)[0]
        if name in session.behavior
        else np.full(len(times), np.nan)
        for name in BEHAVIOR
    ]
    return Aligned(times, responses, np.stack(rows))


def _onsets(session: Session, pieces: Sequence[PresentationSlice], settings: Conversion) -> list[float]:
    return [round(float(session.shown[p.shown].onsets[0]) - session.start + p.first / settings.rate, 6) for p in pieces]


def _gaps(session: Session, number: int, settings: Conversion) -> FrameGaps:
    shown = session.shown[number]
    if not len(frame_times(shown, settings.rate)):
        return frame_gaps(np.empty((0, 0)), None)
    found = aligned(session, shown, settings)
    streams = [row for row, name in enumerate(BEHAVIOR) if name in session.behavior]
    behavior = found.behavior[streams] if settings.cut_at_gaps and found.behavior is not None else None
    return frame_gaps(found.responses, behavior)


def _pieces(number: int, known: Array, settings: Conversion) -> list[PresentationSlice]:
    """Return the trials of a presentation with all data in the frames `known` `(T,)`."""
    return [
        PresentationSlice(number, first, end)
        for low, high in runs(known)
        for first, end in pairwise([*range(low, high, settings.trial_frames), high])
        if end - first >= settings.shortest
    ]


def _video(shown: ShownStimulus, piece: PresentationSlice, settings: Conversion, screen: Framings) -> Array:
    """Return a trial's frames `(T,H,W)` uint8; each presented frame is read and resized once."""
    times = frame_times(shown, settings.rate)[piece.first : piece.end]
    numbers, place = np.unique(frames_on(shown, times, settings.rate), return_inverse=True)
    frames = np.asarray(shown.read(numbers), dtype=np.float32)
    if not np.isfinite(frames).all() or frames.min() < 0 or frames.max() > 255:
        raise InputError(
            f"presentation {shown.content}: expected grey levels 0–255, got {frames.min():g} to {frames.max():g}; "
            "rescale the movie"
        )
    return np.ascontiguousarray(grey_levels(framed(shown, frames, screen))[place])


def _tiers(session: Session, pieces: Sequence[PresentationSlice], settings: Conversion, screen: Framings) -> list[str]:
    """Return the publisher's tiers, or a split by content, which reads all movies.

    Flashed images return in random order throughout a session: held out, they would leak. Their trials are for
    training, if there are enough different movies to hold out; otherwise all are split.
    """
    asked = [session.shown[piece.shown].tier for piece in pieces]
    wrong = sorted({tier for tier in asked if tier and (tier not in TIERS or tier == ABSENT)})
    if wrong:
        raise InputError(f"{session.name}: expected tiers of {TIERS[:-1]}, got {wrong}; map them")
    if all(asked):
        return asked
    if any(asked):
        raise InputError(f"{session.name}: expected a tier for all presentations or for none, got both; complete them")
    movies = [place for place, piece in enumerate(pieces) if session.shown[piece.shown].paced]
    groups = _groups(session, [pieces[place] for place in movies], settings, screen)
    shares = {VALIDATION: settings.validation, TEST: settings.test}
    if len(movies) < len(pieces) and len(set(groups)) >= sum(share > 0 for share in shares.values()):
        # A group for all flashes, the earliest: it is the last to be held out.
        split = split_by_content([FLASHES, *groups], shares, seed=None)[1:]
        held = dict(zip(movies, split, strict=True))
        return [held.get(place, TRAIN) for place in range(len(pieces))]
    groups = groups if len(movies) == len(pieces) else _groups(session, pieces, settings, screen)
    return list(split_by_content(groups, shares, seed=None))


def _groups(
    session: Session, pieces: Sequence[PresentationSlice], settings: Conversion, screen: Framings
) -> Sequence[int]:
    """Return the number of the group of equal videos of each piece."""
    videos = (_video(session.shown[piece.shown], piece, settings, screen) for piece in pieces)
    signatures = [signature(video) for video in videos]
    return duplicate_groups(signatures) if signatures else []


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
        behavior=_recorded(session, found.behavior, slice(0, 2)),
        pupil_center=_recorded(session, found.behavior, slice(2, 4)),
    )


def _recorded(session: Session, behavior: Array | None, rows: slice) -> Array | None:
    """Return two rows of behavior; None if the session has neither stream."""
    there = any(name in session.behavior for name in BEHAVIOR[rows])
    return behavior[rows] if there and behavior is not None else None
