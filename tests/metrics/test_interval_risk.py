"""Risk control over clips: exact in finite samples, whatever errors within a clip share, and in every group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recon.metrics.intervals.risk import Risk, factors, missed_by
from recon.metrics.intervals.settings import fewest_clips

POOL, PIXELS, REPLICATES = 1000, 30, 600


def pool_of_clips() -> tuple[Tensor, Tensor]:
    """Return what each of many clips misses `[K,G,J]` and holds `[K,G]`: heavy tails, a scale shared within a clip.

    Groups: all pixels; the worse half, of which some clips have much and others little; a quarter that overlaps both.
    """
    generator = torch.Generator().manual_seed(0)
    clip_scale = torch.randn(POOL, 1, generator=generator).exp()
    heavy = torch.randn(POOL, PIXELS, generator=generator) / torch.rand(POOL, PIXELS, generator=generator).sqrt()
    worse = torch.rand(POOL, PIXELS, generator=generator) < torch.rand(POOL, 1, generator=generator)
    quarter = torch.arange(PIXELS).expand(POOL, PIXELS) % 4 == 0
    scores = (clip_scale * heavy).abs() * torch.where(worse, 3.0, 1.0)
    groups = torch.stack([torch.ones_like(worse), worse, quarter], 1)
    parts = [missed_by(one, members) for one, members in zip(scores, groups, strict=True)]
    return torch.stack([missed for missed, _ in parts]), torch.stack([within for _, within in parts])


@pytest.fixture(scope="module")
def pool() -> tuple[Tensor, Tensor]:
    return pool_of_clips()


def miss_rates(pool: tuple[Tensor, Tensor], clips: int, level: float, *, combined: bool = False) -> Tensor:
    """Return P(missed | group) `[G]` of a new clip and its standard error, over draws of clips and new clip."""
    missed, within = pool
    generator = torch.Generator().manual_seed(1)
    excess = []
    for _ in range(REPLICATES):
        new, *old = torch.randperm(POOL, generator=generator)[: clips + 1].tolist()
        factor = Risk(missed[old].sum(0), within[old].sum(0), clips).factor(level, within[new])
        factor = factor.amax().repeat(3) if combined else factor
        column = torch.searchsorted(factors(), factor)
        gone = torch.where(torch.isfinite(factor), missed[new].gather(1, column.clamp_max(1023)[:, None])[:, 0], 0)
        excess.append(gone - (1 - level) * within[new])
    found = torch.stack(excess) / within.mean(0)
    return torch.stack([found.mean(0) + 1 - level, found.std(0) / REPLICATES**0.5])


@pytest.mark.parametrize(("clips", "level"), [(19, 0.9), (30, 0.8)])
def test_a_new_clip_is_covered_in_every_group(pool: tuple[Tensor, Tensor], clips: int, level: float) -> None:
    rate, error = miss_rates(pool, clips, level)
    assert (rate <= 1 - level + 3 * error).all(), "the guarantee"
    assert (rate[[0, 2]] >= 1 - level - 2 / (clips + 1) - 3 * error[[0, 2]]).all(), "and no wider than it must be"


def test_overlapping_groups_are_covered_by_the_largest_factor(pool: tuple[Tensor, Tensor]) -> None:
    rate, error = miss_rates(pool, 19, 0.9, combined=True)
    assert (rate <= 0.1 + 3 * error).all()


def test_pixels_taken_for_independent_cover_too_little(pool: tuple[Tensor, Tensor]) -> None:
    """The quantile of all pixels together, corrected as if every pixel were a unit, misses too much in a new clip."""
    missed, within = pool
    generator = torch.Generator().manual_seed(1)
    gone = []
    for _ in range(4 * REPLICATES):
        new, *old = torch.randperm(POOL, generator=generator)[:10].tolist()
        few = missed[old, 0].sum(0) <= 0.1 * within[old, 0].sum() * (1 + 1 / (9 * PIXELS)) - 1 / PIXELS
        gone.append(float(missed[new, 0][int(few.long().argmax())]))
    rate = torch.tensor(gone)
    assert float(rate.mean()) > 0.1 + 3 * float(rate.std()) / len(rate) ** 0.5


def test_too_few_clips_claim_nothing() -> None:
    perfect, everything = torch.zeros(1, 1024, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for clips, narrow in ((8, False), (9, True)):
        factor = Risk(perfect, clips * everything, clips).factor(0.9, everything)
        assert bool(torch.isfinite(factor).all()) is narrow
    assert (fewest_clips(0.9), fewest_clips(0.95), fewest_clips(0.5)) == (9, 19, 1)


def test_a_group_that_no_clip_had_is_given_the_whole_range() -> None:
    missed, within = torch.zeros(2, 1024, dtype=torch.float64), torch.tensor([50.0, 0.0], dtype=torch.float64)
    factor = Risk(missed, within, 50).factor(0.9, torch.tensor([0.9, 0.1], dtype=torch.float64))
    assert torch.isfinite(factor).tolist() == [True, False]


def test_errors_that_are_not_finite_count_as_missed() -> None:
    scores = torch.tensor([0.1, 1.0, torch.nan, torch.inf])
    missed, within = missed_by(scores, torch.ones(1, 4, dtype=torch.bool))
    assert float(within) == 1.0 and float(missed[0, 0]) == 1.0 and float(missed[0, -1]) == 0.5
    assert bool((missed.diff() <= 0).all())


def test_a_factor_covers_the_score_that_it_equals() -> None:
    at = factors()[300]
    missed, _ = missed_by(at[None], torch.ones(1, 1, dtype=torch.bool))
    assert missed[0, 299] == 1.0 and missed[0, 300] == 0.0
