"""Augmentation of the prior's training movies: a window of the movie, enlarged."""

from __future__ import annotations

import torch

from recon.train.augment import enlarged


def test_a_movie_is_enlarged_without_inventing_a_border() -> None:
    """A ramp stays a ramp: of lower slope, inside the old range, at the place that the window had."""
    across = torch.linspace(0, 1, 32).expand(4, 1, 3, 18, 32)
    found = enlarged(across.clone(), 0.5, torch.Generator().manual_seed(0))
    slope = found.diff(dim=-1)
    torch.testing.assert_close(slope, slope[..., :1, :1].expand_as(slope), atol=1e-6, rtol=0)
    factor = slope[:, 0, 0, 0, 0] * 31
    assert bool((factor < 1).all()) and bool((factor >= 0.5).all()) and len(factor.unique()) == 4
    assert found.min() >= 0 and found.max() <= 1 and not torch.equal(found[0], found[1])


def test_a_window_equals_a_resized_crop_and_no_zoom_draws_nothing() -> None:
    movie, draws = torch.rand(1, 1, 2, 9, 13), torch.Generator().manual_seed(1)
    before = draws.get_state()
    assert enlarged(movie, 0.0, draws) is movie and torch.equal(draws.get_state(), before)
    size = 1 - 0.25 * float(torch.rand(1, generator=draws))
    left, top = (torch.rand(2, generator=draws) * (1 - size)).tolist()
    grid = torch.stack(
        torch.meshgrid(torch.linspace(0, 1, 9) * size + top, torch.linspace(0, 1, 13) * size + left, indexing="ij")
    )
    expected = torch.nn.functional.grid_sample(
        movie[:, 0], 2 * grid.flip(0).movedim(0, -1)[None] - 1, align_corners=True
    )
    draws.set_state(before)
    torch.testing.assert_close(enlarged(movie, 0.25, draws)[:, 0], expected, atol=1e-5, rtol=0)
