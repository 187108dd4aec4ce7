"""Gratings against closed forms: period in pixels, drift, phase, orientation, contrast, pixel means, patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recon.data.formats.gratings import Gratings, grating
from recon.data.formats.placement import GREY, Placement, placement
from recon.data.resize import resize_area

ANGLE, FREQUENCY, PHASE, DRIFT, CONTRAST, DIAMETER = (np.array([value]) for value in (0.0, 0.05, 0.0, 2.0, 0.8, np.inf))
ONE = Gratings(ANGLE, FREQUENCY, PHASE, DRIFT, contrast=CONTRAST, diameter=DIAMETER, centre=np.zeros((1, 2)))
SIZE, PIXEL = (81, 121), (0.5, 0.5)
Array = np.ndarray[Any, Any]


def frame(*, seconds: float = 0.0, **changes: float) -> Array:
    one = replace(ONE, **{name: np.array([value]) for name, value in changes.items()})
    drawn: Array = one.frames(SIZE, PIXEL, which=np.zeros(1, dtype=int), elapsed=np.array([seconds]))[0]
    return drawn


def test_the_period_is_the_inverse_of_the_spatial_frequency() -> None:
    row = frame()[40]
    assert np.ptp(frame(), axis=0).max() < 1e-4  # vertical bars
    peaks = np.flatnonzero((row[1:-1] > row[:-2]) & (row[1:-1] > row[2:])) + 1
    assert peaks.tolist() == [20, 60, 100]  # 20° are 40 pixels of half a degree, a bright bar in the centre
    for frequency in (0.02, 0.04, 0.08, 0.16, 0.32):
        row = frame(spatial_frequency=frequency)[40] - GREY
        at = (np.arange(121) - 60) * 0.5
        expected = 0.8 * GREY * np.sinc(0.5 * frequency) * np.cos(2 * np.pi * frequency * at)
        assert row == pytest.approx(expected, abs=1e-3)


def test_phase_orientation_contrast_and_drift_follow_their_definitions() -> None:
    still = frame()
    assert frame(phase=0.5) - GREY == pytest.approx(GREY - still, abs=1e-3)
    # A quarter of a cycle, 10 pixels: the pattern moves to the left, against the direction of the orientation.
    assert frame(phase=0.25)[:, :-10] == pytest.approx(still[:, 10:], abs=1e-3)
    assert frame(seconds=0.125) == pytest.approx(frame(phase=0.25), abs=1e-3)  # 2 Hz
    assert frame(seconds=0.5) == pytest.approx(still, abs=1e-3)
    assert np.ptp(frame(orientation=90.0), axis=1).max() < 1e-3  # horizontal bars
    diagonal = frame(orientation=45.0)
    assert diagonal[10:, :-10] == pytest.approx(diagonal[:-10, 10:], abs=1e-3)  # bars from bottom left to top right
    assert frame(orientation=45.0, seconds=0.05)[:-5, :-5] != pytest.approx(diagonal[5:, 5:], abs=1.0)
    assert frame(contrast=0.4) - GREY == pytest.approx((still - GREY) / 2, abs=1e-3)


def test_a_diagonal_grating_turns_clockwise() -> None:
    """At 30°, the next bright bar is 20° away in the direction 30° below the horizontal."""
    turned = frame(orientation=30.0)
    right, down = 20 * np.cos(np.pi / 6), 20 * np.sin(np.pi / 6)
    assert turned[40 + round(down / 0.5), 60 + round(right / 0.5)] > GREY * 1.75
    assert turned[40 - round(down / 0.5), 60 + round(right / 0.5)] < GREY * 1.45


def test_a_pixel_is_the_mean_over_its_area() -> None:
    facts = {"orientation": np.array([20.0]), "phase": np.array([0.1]), "contrast": np.ones(1)}
    facts |= {"spatial_frequency": np.array([0.2])}
    fine, coarse = ((np.arange(count) - (count - 1) / 2) * 40 / count for count in (400, 20))
    drawn = grating((fine, fine), (0.1, 0.1), **facts)
    assert resize_area(drawn, (20, 20)) == pytest.approx(grating((coarse, coarse), (2.0, 2.0), **facts), abs=1e-2)


def test_a_patch_is_grey_outside_its_circle() -> None:
    patch = replace(ONE, diameter=np.array([10.0]), centre=np.array([[20.0, 10.0]]))
    drawn = patch.frames(SIZE, PIXEL, which=np.zeros(1, dtype=int), elapsed=np.zeros(1))[0]
    changed = drawn != GREY
    rows, columns = np.nonzero(changed)
    assert rows.mean() == pytest.approx(40 - 20, abs=0.5) and columns.mean() == pytest.approx(60 + 40, abs=0.5)
    assert changed.sum() == pytest.approx(np.pi * 10**2, rel=0.05)
    assert drawn[changed] == pytest.approx(frame()[changed])


def test_frames_are_placed_at_their_size_in_degrees() -> None:
    small = Placement((4, 4), (2.0, 2.0), (16.0, 32.0), (8, 16))
    placed = small.apply(np.full((1, 4, 4), 255.0))[0]
    assert np.array_equal(placed[2:6, 6:10], np.full((4, 4), 255.0)) and (placed == GREY).sum() == 8 * 16 - 16
    assert small.degrees() == 2.0
    large = Placement((10, 20), (4.0, 4.0), (16.0, 32.0), (8, 16))
    frames = np.arange(200.0).reshape(1, 10, 20)
    assert large.apply(frames)[0] == pytest.approx(np.kron(frames[0, 3:7, 6:14], np.ones((2, 2))))
    half = Placement((1, 1), (3.0, 3.0), (4.0, 4.0), (2, 2))  # a square of 3° on four pixels of 2°
    assert half.apply(np.zeros((1, 1, 1)))[0] == pytest.approx(np.full((2, 2), GREY * (1 - 1.5**2 / 4)))


def test_another_aspect_ratio_of_the_screen_is_refused_or_cropped() -> None:
    with pytest.raises(ValueError, match="expected the aspect ratio of the movie"):
        placement((10, 10), (1.0, 1.0), screen=(50.0, 100.0), size=(36, 64), crop=False)
    cropped = placement((10, 10), (1.0, 1.0), screen=(50.0, 100.0), size=(36, 64), crop=True)
    assert cropped.window == pytest.approx((50.0, 88.8), abs=0.2)
