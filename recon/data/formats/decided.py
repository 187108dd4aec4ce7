"""Decisions of a conversion: frame rate, alignment of clocks, and tiers."""

from __future__ import annotations

import numpy as np

from recon.data.formats.clocks import long_frames
from recon.data.formats.framing import Framings, notes_of
from recon.data.formats.session import BEHAVIOR, Session, Spikes
from recon.data.unit_ids import numbered


def decided(session: Session, *, rate: float, lag: float) -> dict[str, str]:
    """Return one sentence for the rate, the clock, the tiers and the missing streams; the reader's own come last."""
    tiers = (
        "as in the source" if any(shown.tier for shown in session.shown) else "split by content: the source has none"
    )
    missing = [name for name in BEHAVIOR if name not in session.behavior]
    about = {"rate": _rate(session, rate), "clock": _clock(session, rate, lag), "tiers": tiers}
    if missing:
        about["missing"] = f"{', '.join(missing)} in all trials"
    return about | dict(session.decided)


def _rate(session: Session, rate: float) -> str:
    if session.rate:
        own = "as published" if session.rate == rate else f"resampled; published at {session.rate:g} Hz"
        return f"{rate:g} Hz, {own}"
    steps = [np.diff(shown.onsets) for shown in session.shown if shown.paced and len(shown.onsets) > 1]
    if not steps:
        return f"{rate:g} Hz"
    return f"{rate:g} Hz; the screen showed new frames at {1 / float(np.median(np.concatenate(steps))):.4g} Hz"


def _clock(session: Session, rate: float, lag: float) -> str:
    if session.rate:
        return "frames, responses and behavior share the clock of the source"
    later = f"{lag:g} s after the onset of a frame" if lag else "at the onset of a frame"
    if isinstance(session.responses, Spikes):
        return f"own clocks of the streams; spikes are counted from {later}, over 1/{rate:g} s"
    own = 1 / float(np.median(np.diff(session.responses.times)))
    return f"own clocks of the streams; responses, sampled at {own:.4g} Hz, are read {later}"


def irregularities(session: Session, degrees_per_pixel: float, screen: Framings) -> list[str]:
    """Return one sentence for dropped frames, missing streams, cropping and other irregularities of a conversion."""
    late = [long_frames(shown) for shown in session.shown if shown.paced]
    notes = notes_of(session, degrees_per_pixel, screen)
    notes += numbered(session.unit_ids, where=f"{session.name}: unit_ids").notes
    if sum(late):
        notes.append(
            f"{sum(late)} frames of {sum(map(bool, late))} presentations were shown for more than 1.5 intervals "
            "(dropped frames); the movie keeps what was on screen"
        )
    missing = [name for name in BEHAVIOR if name not in session.behavior]
    if missing and session.behavior:
        notes.append(f"{', '.join(missing)} not recorded: unknown (NaN) in all trials")
    if isinstance(session.responses, Spikes):
        notes.append("responses are spikes per frame")
    return notes
