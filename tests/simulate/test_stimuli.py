"""Stimuli over scales: gratings and noise are what their names say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.sensorium import SensoriumRecording
from recon.simulate.recording import simulate
from recon.simulate.settings import TINY
from recon.simulate.stimuli import SPATIAL_FREQUENCIES, TEMPORAL_FREQUENCIES, stimulus_set

PITCH, FRAMES, SIZE = 2.0, 120, (36, 64)


@pytest.fixture(scope="module", params=["gratings", "noise"])
def clips(request: pytest.FixtureRequest) -> list:
    return stimulus_set(request.param, frames=FRAMES, frame_size=SIZE, degrees_per_pixel=PITCH, attributes=3)


def test_forty_nine_clips_of_equal_size_and_grey(clips: list) -> None:
    assert len({clip.name for clip in clips}) == 49
    for clip in clips:
        assert clip.video.shape == (FRAMES, *SIZE) and clip.video.dtype == np.uint8
    assert abs(np.mean([clip.video.mean() for clip in clips]) - 127.5) < 6


def test_gratings_have_their_frequencies() -> None:
    clips = stimulus_set("gratings", frames=FRAMES, frame_size=SIZE, degrees_per_pixel=PITCH, attributes=1)
    for clip in clips:
        _, space, time = clip.name.split("_")
        centred = clip.video - clip.video.mean()
        in_time = np.square(np.abs(np.fft.rfft(centred[:, ::3, ::3], 480, axis=0))).sum((1, 2))
        in_space = np.square(np.abs(np.fft.fft2(centred[::10], s=(256, 256)))).sum(0)
        row, column = np.unravel_index(in_space.argmax(), in_space.shape)
        hertz = np.fft.rfftfreq(480, 1 / 30)[in_time.argmax()]
        cycles = np.hypot(np.fft.fftfreq(256, PITCH)[row], np.fft.fftfreq(256, PITCH)[column])
        assert hertz == pytest.approx(float(time), abs=0.15), clip.name
        assert cycles == pytest.approx(float(space), abs=0.004), clip.name


@pytest.mark.slow  # spectra of whole clips
def test_noise_has_its_scales() -> None:
    """White noise behind a Gaussian filter of width σ correlates with itself at distance d by exp(−d²/4σ²)."""
    for clip in stimulus_set("noise", frames=300, frame_size=SIZE, degrees_per_pixel=PITCH, attributes=1):
        _, space, time = (part if i == 0 else float(part) for i, part in enumerate(clip.name.split("_")))
        if space > 5 or time > 0.11:
            continue  # too few independent samples to measure
        video = clip.video.astype(float) - clip.video.mean()
        across, along = np.exp(-((PITCH / space) ** 2) / 4), np.exp(-((1 / 30 / time) ** 2) / 4)
        assert _correlation(video[:, :, 1:], video[:, :, :-1]) == pytest.approx(across, abs=0.06)
        assert _correlation(video[1:], video[:-1]) == pytest.approx(along, abs=0.06)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.slow  # whole clips
def test_a_simulation_shows_them_as_its_test_clips(tmp_path: Path) -> None:
    settings = replace(TINY, clip_frames=20, repeats=1, stimuli="gratings", frame_size=SIZE, degrees_per_pixel=PITCH)
    recording = SensoriumRecording(simulate(tmp_path / "r", settings, progress=False))
    tests = recording.trials("live_test_main")
    assert len(tests) == len(SPATIAL_FREQUENCIES) * len(TEMPORAL_FREQUENCIES)
    assert recording.trial(tests[0]).caption == "A grating of 0.01 cycles per degree drifts at 0.5 Hz."
    assert recording.video_ids[tests[-1]] == "gratings_0.15_10"


def test_other_stimuli_are_refused() -> None:
    with pytest.raises(ValueError, match="expected gratings or noise"):
        replace(TINY, stimuli="bars")
