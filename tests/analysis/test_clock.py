"""The clock of a recording: planted lags, drifts and swapped clips are found, and right clocks are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worlds import clocks

from recon.analysis.clock.estimate import Clock, estimate_clock
from recon.analysis.clock.findings import ClockReport, clock_report
from recon.data.layout import Array
from recon.data.realigned import realigned
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import survey
from recon.errors import InputError

FILMS = clocks.movies(seed=1)
RESPONSES = clocks.activity(FILMS, seed=1)
FRAME = 1 / clocks.RATE


def clock(recording: SensoriumRecording) -> Clock:
    found = estimate_clock(recording, survey(recording))
    assert found is not None
    return found


def report(recording: SensoriumRecording, signal: str = "") -> ClockReport:
    return clock_report(recording, survey(recording), signal=signal)


def cut(shifts: Array) -> tuple[Array, Array]:
    """Return films of 60 frames, and for each trial the responses that many frames earlier."""
    pairs = [(FILMS[i, 15:75], RESPONSES[i, :, 15 - s : 75 - s]) for i, s in enumerate(shifts)]
    films, responses = zip(*pairs, strict=True)
    return np.stack(films), np.stack(responses)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    still = np.zeros(clocks.TRIALS, dtype=int)
    return clock(clocks.write(tmp_path_factory.mktemp("clock") / "right", *cut(still)))


def test_the_latency_of_the_cells_is_found_without_drift(right: Clock) -> None:
    assert right.lag is not None and right.drift is not None
    assert right.lag.value == pytest.approx(clocks.LATENCY * FRAME, abs=0.3 * FRAME)
    assert right.lag.low < clocks.LATENCY * FRAME < right.lag.high
    assert right.change.low < 0 < right.change.high and abs(right.change.value) < 0.5
    assert right.misplaced == ()


@pytest.mark.parametrize("frames", [-12, 9])
def test_a_planted_lag_is_found_to_a_frame(frames: int, right: Clock, tmp_path: Path) -> None:
    late = clock(clocks.write(tmp_path / "late", *cut(np.full(clocks.TRIALS, frames))))
    assert late.lag is not None and right.lag is not None
    assert late.lag.value - right.lag.value == pytest.approx(frames * FRAME, abs=0.5 * FRAME)


@pytest.mark.parametrize("frames", [12, -9])
def test_a_planted_drift_is_found_to_half_a_frame_at_the_end(frames: int, right: Clock, tmp_path: Path) -> None:
    share = np.linspace(-0.5, 0.5, clocks.TRIALS)
    drifting = clocks.write(tmp_path / "drifting", *cut(np.rint(frames * share).astype(int)))
    found = clock(drifting)
    assert found.change.value - right.change.value == pytest.approx(frames, abs=max(0.1 * abs(frames), 0.5))
    seconds = (clocks.TRIALS - 1) * 60 * FRAME
    assert found.drift is not None
    assert found.drift.value == pytest.approx(1000 * found.change.value * FRAME / (seconds / 60))
    said = " ".join(text for level, text in report(drifting).findings if level == "warning")
    assert "drifts by" in said and "drift=" in said


def test_swapped_clips_are_named_and_no_others(tmp_path: Path) -> None:
    films, responses = cut(np.zeros(clocks.TRIALS, dtype=int))
    order = np.arange(clocks.TRIALS)
    order[[4, 17, 9, 10]] = [17, 4, 10, 9]
    recording = clocks.write(tmp_path / "swapped", films, responses[order])
    assert [(one.trial, one.fits) for one in clock(recording).misplaced] == [(4, 17), (9, 10), (10, 9), (17, 4)]
    found = report(recording)
    assert [level for level, _ in found.findings] == ["warning"]
    assert "trials 4 and 17 are swapped" in found.findings[0][1] and "trials 9 and 10" in found.findings[0][1]
    assert "4 trials out of order" in found.decided


def test_a_lag_is_judged_by_the_signal_and_the_remedy_corrects_it(tmp_path: Path) -> None:
    """Spike inference that places events 600 ms late; raw calcium may peak as late."""
    films = clocks.movies(seed=2, frames=120)
    responses = clocks.activity(films, seed=2)
    late = clocks.write(tmp_path / "late", films[:, 18:], responses[..., :-18], signal="deconvolved")
    found = report(late)
    assert [level for level, _ in found.findings] == ["warning"] and "lag=0.55" in found.findings[0][1]
    assert report(late, "calcium").findings == ()
    again = report(realigned(late, tmp_path / "corrected", lag=0.55))
    assert again.findings == () and again.facts["clock"]["lag_seconds"] == pytest.approx(0.15, abs=FRAME)
    with pytest.raises(InputError, match="signal: expected one of spikes, deconvolved, calcium, got 'fluorescence'"):
        report(late, "fluorescence")


def test_responses_before_the_movie_are_never_right(tmp_path: Path) -> None:
    early = clocks.write(tmp_path / "early", FILMS[:, :-15], RESPONSES[..., 15:])
    (level, text), *others = report(early).findings
    assert level == "warning" and "responses follow the movie by -0.4" in text and others == []


def test_trials_without_a_break_are_searched_beyond_their_length(tmp_path: Path) -> None:
    """A session of continuous clocks whose responses are 4 s late, in trials of 2 s."""
    films = clocks.movies(seed=3, trials=1, frames=2000)
    responses = clocks.activity(films, seed=3)
    shown = films[0, 120:1920].reshape(30, 60, *clocks.SIZE)
    late = responses[0, :, :1800].reshape(clocks.CELLS, 30, 60).swapaxes(0, 1)
    apart = clocks.write(tmp_path / "apart", shown, late)
    joined = clocks.write(tmp_path / "joined", shown, late, onsets=[2.0 * i for i in range(30)])
    lost, found = clock(apart), clock(joined)
    assert lost.lag is None and lost.searched == 1.0
    assert found.lag is not None and found.searched == 30.0
    assert found.lag.value == pytest.approx((120 + clocks.LATENCY) * FRAME, abs=0.5 * FRAME)
    assert "no lag found, searched ±1 s" in report(apart).decided


def test_unrelated_responses_have_no_lag(right: Clock, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(clocks.TRIALS, clocks.CELLS, 60))
    unrelated = report(clocks.write(tmp_path / "unrelated", cut(np.zeros(clocks.TRIALS, dtype=int))[0], noise))
    assert [level for level, _ in unrelated.findings] == ["note"] and "no relation" in unrelated.findings[0][1]
    long = replace(right, lag=None, minutes=20.0)
    assert long.minutes > 5 and "lag_seconds" not in unrelated.facts["clock"]


def test_a_recording_without_trials_to_compare_is_left_alone(tmp_path: Path) -> None:
    short = clocks.write(tmp_path / "short", FILMS[:3, :10], RESPONSES[:3, :, :10])
    assert report(short).findings == () and "not estimated" in report(short).decided


def test_swapped_clips_that_are_alike_are_named_by_both_halves(tmp_path: Path) -> None:
    """Each half alone fits the other's clip hardly better than its own, because the clips share some of their light."""
    films = clocks.movies(seed=7, frames=60)
    films[17] = (0.25 * films[4] + 0.75 * films[17]).astype(np.uint8)
    responses = clocks.activity(films, seed=7, noise=3.0)
    order = np.arange(clocks.TRIALS)
    recording = clocks.write(tmp_path / "right", films, responses)
    assert clock(recording).misplaced == ()
    order[[4, 17]] = [17, 4]
    swapped = clock(clocks.write(tmp_path / "swapped", films, responses[order]))
    assert [(one.trial, one.fits) for one in swapped.misplaced] == [(4, 17), (17, 4)]
