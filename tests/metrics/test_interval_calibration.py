"""Calibrated intervals of movies with known errors: coverage by groups, width, skew, temperature."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from recon.errors import InputError
from recon.metrics.intervals.bounds import bounds_coverage, bounds_half_width
from recon.metrics.intervals.calibration import ONE_SD, Calibration, EstimatedClip, Scored, calibrate_on
from recon.metrics.intervals.settings import CalibrationSettings

SHAPE = (1, 10, 8, 12)
SCORED = Scored(2, 2)
QUICK = CalibrationSettings(steps=120, pixels=400, hidden=16)


def clips_of(spread: Callable[[Tensor], Tensor], count: int, *, seed: int, shared: float = 0.3) -> list[EstimatedClip]:
    """Return clips whose estimates have a dim and a bright half of low and high contrast, and errors of some spread.

    `shared`: standard deviation of the logarithm of a factor that all errors of a clip share.
    """
    generator = torch.Generator().manual_seed(seed)
    clips = []
    for _ in range(count):
        amplitude = torch.linspace(0.02, 0.2, SHAPE[-1])
        movie = (0.5 + amplitude * torch.randn(SHAPE, generator=generator)).clamp(0, 1)
        scale = (shared * torch.randn(1, generator=generator)).exp()
        error = scale * spread(movie) * torch.randn(SHAPE, generator=generator)
        clips.append(EstimatedClip(movie, movie + error))
    return clips


def reach(clips: int, level: float = 0.9) -> float:
    """Return the half-width, in standard deviations of a Gaussian error, that `clips` calibration clips ask for."""
    return NormalDist().inv_cdf(1 - (1 - level - level / clips) / 2)


def contrast(movie: Tensor) -> Tensor:
    return torch.linspace(0.01, 0.12, SHAPE[-1]).expand_as(movie)


def even(movie: Tensor) -> Tensor:
    return torch.full_like(movie, 0.05)


def scores(found: Calibration, clips: list[EstimatedClip], level: float = 0.9) -> tuple[Tensor, Tensor]:
    """Return coverage and mean half-width of every clip, over scored frames."""
    cut = slice(SCORED.warmup, SHAPE[1] - SCORED.tail)
    bounds = [found.bounds(clip.movie, clip.deviation, level=level) for clip in clips]
    lower, upper = (torch.stack([each[side] for each in bounds])[:, :, cut] for side in (0, 1))
    truth = torch.stack([clip.truth for clip in clips])[:, :, cut]
    return bounds_coverage(lower, upper, truth.clamp(0, 1)), bounds_half_width(lower, upper, truth)


@pytest.fixture(scope="module")
def by_contrast() -> Calibration:
    return calibrate_on(clips_of(contrast, 90, seed=0), QUICK, SCORED)


def test_coverage_holds_in_every_group_and_width_follows_the_error(by_contrast: Calibration) -> None:
    new = clips_of(contrast, 80, seed=1)
    cover, width = scores(by_contrast, new)
    assert float(cover.mean()) == pytest.approx(0.915, abs=0.03)
    inside, members = [], []
    for clip in new:
        bounds = by_contrast.bounds(clip.movie)
        inside.append(SCORED.of((clip.truth >= bounds.lower) & (clip.truth <= bounds.upper)))
        members.append(SCORED.of(by_contrast.members(clip.movie, by_contrast.arms_of(clip.movie, None))))
    covered, grouped = torch.stack(inside).float(), torch.stack(members).float().transpose(0, 1)
    found = (covered * grouped).sum((1, 2)) / grouped.sum((1, 2))
    assert len(by_contrast.names) == len(found) == 10
    assert (found - 0.915).abs().max() < 0.045, dict(zip(by_contrast.names, found.tolist(), strict=True))
    plain = calibrate_on(clips_of(contrast, 90, seed=0), CalibrationSettings(base="constant"), SCORED)
    assert float(scores(plain, new)[0].mean()) == pytest.approx(0.9, abs=0.03)
    equal = (scores(plain, new, 0.9 + step / 100) for step in range(1, 9))
    even_width = next(wide for covered, wide in equal if covered.mean() >= cover.mean())
    assert float(width.mean()) < 0.92 * float(even_width.mean()), "at equal coverage, where errors differ, narrower"
    arms = by_contrast.arms_of(new[0].movie, None)
    left, right = arms.above[..., :4].mean(), arms.above[..., -4:].mean()
    assert float(right / left) > 3  # the errors' spread grows from 0.02 to 0.11


def test_homoscedastic_errors_give_homoscedastic_intervals() -> None:
    found = calibrate_on(clips_of(even, 60, seed=0, shared=0.0), QUICK, SCORED)
    width = SCORED.of(found.bounds(clips_of(even, 1, seed=1)[0].movie).half_width)
    inner = width[width < width.max()]  # bounds are cut at 0 and 1
    assert float(width.median()) == pytest.approx(reach(36) * 0.05, rel=0.05)
    assert float(inner.std() / inner.mean()) < 0.08
    sd = SCORED.of(found.deviation(clips_of(even, 1, seed=1)[0].movie))
    assert float(sd.median()) == pytest.approx(reach(36, ONE_SD) * 0.05, rel=0.05)


def test_errors_to_one_side_give_intervals_to_one_side() -> None:
    clips = [EstimatedClip(c.movie, c.movie + (c.truth - c.movie).abs()) for c in clips_of(even, 60, seed=0)]
    found = calibrate_on(clips, QUICK, SCORED)
    movie = torch.full(SHAPE, 0.5)
    bounds = found.bounds(movie)
    assert float(SCORED.of(bounds.upper - movie).mean()) > 3 * float(SCORED.of(movie - bounds.lower).mean())


def test_draws_that_spread_too_little_are_given_one_temperature() -> None:
    """Half the spread that is right: the factor at 90 % is twice the Gaussian's."""
    clips = [clip._replace(deviation=contrast(clip.movie) / 2) for clip in clips_of(contrast, 60, seed=0, shared=0.0)]
    found = calibrate_on(clips, CalibrationSettings(base="draws"), SCORED)
    assert float(found.risk.factor(0.9, torch.ones(1, dtype=torch.float64))) == pytest.approx(2 * reach(60), rel=0.03)
    with pytest.raises(InputError, match="deviation of a sampler's draws"):
        found.bounds(clips[0].movie)


def test_draws_are_a_feature_where_there_are_some() -> None:
    generator = torch.Generator().manual_seed(3)
    spread = [0.02 + 0.2 * torch.rand(SHAPE, generator=generator) for _ in range(50)]
    movie = torch.full(SHAPE, 0.5)
    clips = [EstimatedClip(movie, movie + one * torch.randn(SHAPE, generator=generator), one) for one in spread]
    found = calibrate_on(clips, QUICK, SCORED)
    width = found.bounds(movie, spread[0]).half_width
    assert float(torch.corrcoef(torch.stack([SCORED.of(width), SCORED.of(spread[0])]))[0, 1]) > 0.9


def test_nothing_is_claimed_where_nothing_is_scored() -> None:
    pixels = torch.ones(SHAPE[2:], dtype=torch.bool)
    pixels[:, :3] = False
    found = calibrate_on(clips_of(even, 12, seed=0), CalibrationSettings(base="constant"), Scored(2, 2, pixels))
    bounds = found.bounds(torch.full(SHAPE, 0.5))
    whole = (bounds.lower == 0) & (bounds.upper == 1)
    assert whole[:, :2].all() and whole[:, -2:].all() and whole[..., :3].all() and not whole[:, 2:-2, :, 3:].any()


def test_levels_are_nested_and_wrong_ones_are_refused(by_contrast: Calibration) -> None:
    movie = clips_of(contrast, 1, seed=5)[0].movie
    inner, outer = by_contrast.bounds(movie, level=0.5), by_contrast.bounds(movie, level=0.95)
    assert (inner.lower >= outer.lower).all() and (inner.upper <= outer.upper).all()
    with pytest.raises(InputError, match="level: expected a probability"):
        by_contrast.bounds(movie, level=90)


def test_it_survives_being_stored(by_contrast: Calibration) -> None:
    movie = clips_of(contrast, 1, seed=5)[0].movie
    again = Calibration.of(by_contrast.tensors(), QUICK, SCORED)
    assert all(torch.equal(a, b) for a, b in zip(by_contrast.bounds(movie), again.bounds(movie), strict=True))


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(InputError, match="expected at least 15 calibration clips"):
        calibrate_on(clips_of(even, 12, seed=0), QUICK, SCORED)
