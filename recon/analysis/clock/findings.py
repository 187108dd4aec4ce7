"""What the clock of a recording gives rise to: findings with their remedy, facts, and one line for the check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recon.analysis.clock.drift import Estimate
from recon.analysis.clock.estimate import Clock, estimate_clock
from recon.analysis.clock.order import Misplaced
from recon.data.layout import SIGNALS
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import Survey
from recon.errors import InputError

EXPECTED: Mapping[str, tuple[float, float]] = {
    "spikes": (0.0, 0.25),
    "deconvolved": (-0.05, 0.4),
    "calcium": (0.0, 0.9),
    "": (-0.05, 0.9),
}
"""Range of lags in seconds between stimulus and responses; "": any of them.

Latency from the retina (up to 0.2 s) to cortex (0.03–0.15 s); spike inference places events up to a frame of a slow
scan early or 0.2 s late; fluorescence peaks 0.1–0.7 s after the spike (GCaMP6: Chen et al. 2013).
"""
TYPICAL: Mapping[str, float] = {"spikes": 0.08, "deconvolved": 0.15, "calcium": 0.35, "": 0.15}
"""Lags in seconds that a correction leaves."""
WORDS = {"": "any signal", "spikes": "spikes", "deconvolved": "deconvolved activity", "calcium": "raw calcium"}
CLIPS = 8
"""Different clips, as `ENOUGH`."""
ENOUGH = 5.0
"""Minutes of trials after which responses without a relation to the stimulus are worth a warning."""


@dataclass(frozen=True)
class ClockReport:
    """Findings (level, sentence), facts as plain values, and one line that says what was found."""

    findings: tuple[tuple[Literal["warning", "note"], str], ...]
    facts: Mapping[str, Any]
    decided: str


def clock_report(recording: SensoriumRecording, found: Survey, *, signal: str = "") -> ClockReport:
    """Estimate the clock of a recording and compare its lag with the range expected for the signal.

    `signal` is one of `recon.data.layout.SIGNALS`; the default is what the recording states.
    """
    if signal and signal not in SIGNALS:
        raise InputError(f"signal: expected one of {', '.join(SIGNALS)}, got {signal!r}; name what responses are")
    clock, kind = estimate_clock(recording, found), signal or recording.signal
    if clock is None:
        return ClockReport((), {}, "not estimated: it takes two different clips of 20 frames with responses that vary")
    findings = [*_lost(clock), *_late(clock, kind), *_drifting(clock), *_reordered(clock)]
    return ClockReport(tuple(findings), _facts(clock, kind), _line(clock))


def _lost(clock: Clock) -> list[tuple[Literal["warning", "note"], str]]:
    if clock.lag is not None:
        return []
    text = (
        f"no relation of the responses to the movie was found at lags within ±{clock.searched:.3g} s (cross-validated "
        f"r {clock.score:.3f}): the clocks may differ by more, trials may be numbered otherwise, or the cells do not "
        "follow the movie; check the clocks"
    )
    enough = clock.minutes >= ENOUGH and clock.clips >= CLIPS
    return [("warning" if enough else "note", text)]


def _late(clock: Clock, kind: str) -> list[tuple[Literal["warning", "note"], str]]:
    if clock.lag is None:
        return []
    low, high = EXPECTED[kind]
    tolerance = 1 / clock.rate
    if clock.lag.high >= low - tolerance and clock.lag.low <= high + tolerance:
        return []
    further = "; the true lag may be larger than was searched" if clock.at_edge else ""
    text = (
        f"responses follow the movie by {_seconds(clock.lag)}, expected {low:g}–{high:g} s for {WORDS[kind]}: the "
        f"clocks differ, or responses are shifted; correct with {_settings(clock, kind)} (recon data convert or "
        f"import), which leaves {1000 * TYPICAL[kind]:.0f} ms{'' if kind else ', or name the signal (--signal)'}"
        f"{further}"
    )
    return [("warning", text)]


def _drifting(clock: Clock) -> list[tuple[Literal["warning", "note"], str]]:
    change = clock.change
    if clock.drift is None or change.low <= 0 <= change.high or abs(change.value) <= 1:
        return []
    text = (
        f"the lag drifts by {clock.drift.value:.3g} ms per minute ({clock.drift.low:.3g} to {clock.drift.high:.3g}), "
        f"{1000 * change.value / clock.rate:.0f} ms over the session: the clocks run at different rates; correct with "
        f"drift={clock.drift.value:.3g} (recon data convert or import)"
    )
    return [("warning", text)]


def _reordered(clock: Clock) -> list[tuple[Literal["warning", "note"], str]]:
    if not clock.misplaced:
        return []
    shown = "; ".join(_pairs(clock.misplaced)[:8])
    text = (
        f"{len(clock.misplaced)} trials respond to the clip of another trial, not to their own: {shown}; the table of "
        "trials gives another order than was shown: correct it, or leave these trials out"
    )
    return [("warning", text)]


def _pairs(trials: tuple[Misplaced, ...]) -> list[str]:
    """Return a phrase for every pair of trials that fit each other's clip, and for every other trial."""
    fits = {one.trial: one for one in trials}
    out = []
    for one in trials:
        other = fits.get(one.fits)
        mutual = other is not None and other.fits == one.trial
        if not mutual or one.trial < one.fits:
            names = f"trials {one.trial} and {one.fits} are swapped" if mutual else f"trial {one.trial} fits {one.fits}"
            out.append(f"{names} (r {one.there:.2f} against {one.here:.2f})")
    return out


def _facts(clock: Clock, kind: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "signal": kind,
        "searched_seconds": clock.searched,
        "correlation": clock.score,
        "trials": clock.trials,
        "onsets_known": clock.timed,
    }
    if clock.lag is not None and clock.drift is not None:
        facts |= {
            "lag_seconds": clock.lag.value,
            "lag_interval": [clock.lag.low, clock.lag.high],
            "lag_at_start_seconds": clock.start,
            "drift_ms_per_minute": clock.drift.value,
            "drift_interval": [clock.drift.low, clock.drift.high],
            "misplaced": [one._asdict() for one in clock.misplaced],
        }
    return {"clock": facts}


def _line(clock: Clock) -> str:
    searched = f"searched ±{clock.searched:.3g} s"
    if clock.lag is None or clock.drift is None:
        return f"no lag found, {searched}, {clock.trials} trials"
    lag, drift = clock.lag.times(1000), clock.drift
    order = f"{clock.trials} trials in order" if not clock.misplaced else f"{len(clock.misplaced)} trials out of order"
    return (
        f"lag {lag.value:.0f} ms ({lag.low:.0f} to {lag.high:.0f}), drift {drift.value:.2g} ms/min ({drift.low:.2g} to "
        f"{drift.high:.2g}), {order}; {searched}"
    )


def _settings(clock: Clock, kind: str) -> str:
    """Return the settings that correct the lag, and with it a drift that is clear."""
    if _drifting(clock) and clock.drift is not None:
        return f"lag={clock.start - TYPICAL[kind]:.3f} drift={clock.drift.value:.3g}"
    return f"lag={(clock.lag.value if clock.lag else 0.0) - TYPICAL[kind]:.3f}"


def _seconds(lag: Estimate) -> str:
    return f"{lag.value:.3f} s ({lag.low:.3f} to {lag.high:.3f})"
