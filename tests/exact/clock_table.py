"""Estimated against planted lags, drifts and swaps of a simulated recording and of the recorded retina.

    recon simulate recordings/clocks neurons=200 minutes=10 validation_clips=6 test_clips=6 repeats=3
    python tests/exact/clock_table.py recordings/clocks recordings/retina

Prints the tables of docs/results/clocks.md. The comment in configs/retina.yaml says how the retina is imported. Each
clock is planted in a copy on disk, which is surveyed and estimated like any recording; the estimate is compared with
that of the recording as it is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from recon.analysis.clock.estimate import Clock, estimate_clock
from recon.data.layout import data_file
from recon.data.open import open_recording
from recon.data.realigned import realigned
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import survey

LAGS = (-1.0, -0.25, 0.05, 0.1, 0.6, 2.0, 10.0, 20.0)
"""Planted lags in seconds; those that exceed half a trial are left out where trials are separate."""
DRIFTS = (-60.0, -5.0, 1.0, 5.0, 60.0)
"""Planted drifts in ms per minute; 60 is a clock of 30 Hz taken for one of 29.97 Hz."""
SWAPS = ((0.1, 0.8), (0.4, 0.45), (0.55, 0.95))
"""Positions among the training trials of the clips that are swapped."""


def clock(recording: SensoriumRecording) -> Clock:
    """Return the clock of a recording."""
    found = estimate_clock(recording, survey(recording))
    if found is None:
        raise SystemExit(f"{recording.path}: too few trials")
    return found


def planted(source: SensoriumRecording, aside: Path, *, lag: float = 0.0, drift: float = 0.0) -> Clock:
    """Return the clock of a copy whose responses come `lag` seconds, and `drift` ms per minute, too late."""
    copy = realigned(source, aside / "planted", lag=-lag, drift=-drift)
    found = clock(copy)
    shutil.rmtree(copy.path)
    return found


def lag_rows(source: SensoriumRecording, right: Clock, aside: Path) -> list[str]:
    """Return a row for every planted lag: estimate, its interval, and the error in frames."""
    rows = [
        "| planted lag, s | estimated lag, s | 99 % interval | difference from the unshifted copy | error, frames |"
    ]
    rows += ["|---|---|---|---|---|", f"| 0 | {said(right)} | | |"]
    for lag in LAGS:
        if abs(lag) > 0.9 * right.searched:
            continue
        found = planted(source, aside, lag=lag)
        if found.lag is None or right.lag is None:
            rows.append(f"| {lag:g} | not found | | | |")
            continue
        moved = found.lag.value - right.lag.value
        rows.append(f"| {lag:g} | {said(found)} | {moved:+.3f} | {(moved - lag) * source.frame_rate:+.2f} |")
    return rows


def said(found: Clock) -> str:
    """Return the lag and its interval as two cells."""
    return (
        "not found | " if found.lag is None else f"{found.lag.value:.3f} | {found.lag.low:.3f} to {found.lag.high:.3f}"
    )


def drift_rows(source: SensoriumRecording, right: Clock, aside: Path) -> list[str]:
    """Return a row for every planted drift: estimate, interval, and the error at the end of the session in frames."""
    rows = ["| planted drift, ms/min | estimated | 99 % interval | planted, frames at the end | error, frames |"]
    rows += ["|---|---|---|---|---|"]
    for drift in (0.0, *DRIFTS):
        found = planted(source, aside, drift=drift) if drift else right
        if found.drift is None or right.drift is None:
            rows.append(f"| {drift:g} | not found | | | |")
            continue
        per = found.change.value / found.drift.value
        error = found.change.value - right.change.value - drift * per
        interval = f"{found.drift.low:.2f} to {found.drift.high:.2f}"
        rows.append(f"| {drift:g} | {found.drift.value:.2f} | {interval} | {drift * per:+.1f} | {error:+.2f} |")
    return rows


def swap_row(source: SensoriumRecording, aside: Path) -> str:
    """Return a sentence on the swapped and the named trials."""
    folder = shutil.copytree(source.path, aside / "swapped")
    training = source.trials("train")
    pairs = [tuple(training[int(place * len(training))] for place in pair) for pair in SWAPS]
    for one, other in pairs:
        files = [data_file(folder, "responses", i) for i in (one, other)]
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, reversed(contents), strict=True):
            file.write_bytes(content)
    named = [(one.trial, one.fits) for one in clock(SensoriumRecording(folder)).misplaced]
    return f"swapped: {pairs}; named, with the trial whose clip they fit: {named}"


def main() -> None:
    """Print the tables of each recording."""
    options = argparse.ArgumentParser()
    options.add_argument("recordings", type=Path, nargs="+")
    for path in options.parse_args().recordings:
        source = open_recording(path)
        right = clock(source)
        with tempfile.TemporaryDirectory() as aside:
            lags, drifts = (make(source, right, Path(aside)) for make in (lag_rows, drift_rows))
            swaps = swap_row(source, Path(aside))
        searched = f"searched ±{right.searched:g} s; {right.trials} trials; named as misplaced: {len(right.misplaced)}"
        sys.stdout.write("\n".join([f"## {source.name}", searched, "", *lags, "", *drifts, "", swaps, "", ""]))


if __name__ == "__main__":
    main()
