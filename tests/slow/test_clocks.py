"""Right clocks of 20 simulated recordings raise no warning; a planted lag and drift of the recorded retina is found."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from recon.analysis.clock.estimate import estimate_clock
from recon.analysis.clock.findings import clock_report
from recon.data.formats.arrays_import import import_arrays
from recon.data.open import open_recording
from recon.data.realigned import realigned
from recon.data.sensorium import SensoriumRecording
from recon.data.survey import survey
from recon.simulate import SimulationSettings, simulate


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_right_clocks_raise_no_warning(seed: int, tmp_path: Path) -> None:
    settings = SimulationSettings(
        neurons=60,
        minutes=3.0,
        validation_clips=2,
        test_clips=2,
        repeats=3,
        frame_size=(18, 32),
        degrees_per_pixel=2.9,
        seed=seed,
    )
    recording = open_recording(simulate(tmp_path / "simulated", settings, progress=False))
    found = clock_report(recording, survey(recording), signal="deconvolved")
    assert found.findings == () and 0.05 < found.facts["clock"]["lag_seconds"] < 0.15, found.decided


@pytest.mark.slow
@pytest.mark.real
def test_planted_clocks_of_the_recorded_retina_are_found(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "liu2017_salamander_rgc"
    with gzip.open(folder / "spike_counts_177x36000.npy.gz") as stream:
        counts = np.load(stream)[:, :18000]
    np.save(tmp_path / "bits.npy", np.load(folder / "stim_bits_x69-141_y39-111.npy", mmap_mode="r")[:18000])
    recording = import_arrays(
        tmp_path / "retina",
        movie=tmp_path / "bits.npy",
        packed=(72, 72),
        axes="twh",
        responses=counts,
        frame_size=(18, 18),
        frame_rate=30.0,
        degrees_per_pixel=1.0,
    )
    lag, change, _ = _clock(recording)
    assert lag == pytest.approx(0.145, abs=0.01)
    late, _, _ = _clock(realigned(recording, tmp_path / "late", lag=-12.0))
    assert late - lag == pytest.approx(12.0, abs=1 / 30)
    _, moved, per = _clock(realigned(recording, tmp_path / "drifting", drift=-60.0))
    assert moved - change == pytest.approx(60 * per, abs=0.1 * 60 * per)
    report = clock_report(recording, survey(recording), signal="spikes")
    assert report.findings == ()


def _clock(recording: SensoriumRecording) -> tuple[float, float, float]:
    """Return lag in seconds, change over the session in frames, and frames of a drift of 1 ms per minute."""
    found = estimate_clock(recording, survey(recording))
    assert found is not None and found.lag is not None and found.drift is not None
    return found.lag.value, found.change.value, found.change.value / found.drift.value
