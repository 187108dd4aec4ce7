"""Intervals of samplers cover the truth as often as they say."""

from __future__ import annotations

import pytest
import torch

from recon.metrics.coverage import interval_coverage


@pytest.mark.parametrize("draws", [2, 5, 20])
def test_intervals_of_an_exact_sampler_cover_what_they_say(draws: int) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = 0.5 + 0.2 * torch.randn(draws, 2, 1, 10, 60, 60, generator=generator)
    truth = 0.5 + 0.2 * torch.randn(2, 1, 10, 60, 60, generator=generator)
    found = interval_coverage(drawn.mean(0), drawn.std(0), truth, draws=draws)
    assert found.tolist() == pytest.approx([0.9, 0.9], abs=0.01)
    narrow = interval_coverage(drawn.mean(0), 0.5 * drawn.std(0), truth, draws=draws)
    assert float(narrow.max()) < 0.85


def test_only_scored_pixels_count() -> None:
    truth = torch.zeros(1, 1, 2, 3, 4)
    movie = truth.clone()
    movie[..., 2:] = 1.0
    pixels = torch.zeros(3, 4, dtype=torch.bool)
    pixels[:, :3] = True
    found = interval_coverage(movie, torch.full_like(truth, 0.1), truth, draws=100, pixel_mask=pixels)
    assert found.tolist() == pytest.approx([2 / 3])
