"""kornia: what is taken from it equals its formula, and what stays ours equals kornia where the borders allow."""

from __future__ import annotations

from collections.abc import Callable

import kornia
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from recon.data.colour import grey
from recon.methods.combined import gaussian_filter
from recon.methods.neural.distillation import views
from recon.metrics.movie import psnr, ssim
from recon.priors.energies import total_variation


def movie(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def by_differences(movie: Tensor) -> Tensor:
    return movie.diff(dim=-1).abs().flatten(1).sum(1) + movie.diff(dim=-2).abs().flatten(1).sum(1)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_total_variation_is_the_sum_of_absolute_differences(dtype: torch.dtype, error: float) -> None:
    values = [movie(2, 1, 30, 36, 64, dtype=dtype).requires_grad_(True) for _ in range(2)]
    energies = [energy(value) for energy, value in zip((total_variation, by_differences), values, strict=True)]
    torch.testing.assert_close(*energies, rtol=error, atol=0)
    gradients = [torch.autograd.grad(one.sum(), value)[0] for one, value in zip(energies, values, strict=True)]
    assert torch.equal(*gradients), "optimisation takes the same path, to the last bit"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_grey_is_the_weighted_sum_of_red_green_and_blue(dtype: type) -> None:
    frames = (255 * np.random.default_rng(0).random((4, 9, 16, 3))).astype(dtype)
    np.testing.assert_allclose(grey(frames), frames @ np.array([0.299, 0.587, 0.114]), rtol=0, atol=1e-12)
    assert grey(frames).dtype == np.float64 and grey(frames[..., 0]) is not None


def test_views_are_flips_and_bilinear_enlargements_to_the_last_bit() -> None:
    shown = movie(1, 6, 20, 28)
    corners = shown[..., :15, :21], shown.flip(-1)[..., -15:, -21:]
    wide = [functional.interpolate(part.transpose(0, 1), (20, 28), mode="bilinear").transpose(0, 1) for part in corners]
    expected = [shown, shown.flip(-1), shown.flip(-1).flip(-3), shown.flip(-2), *wide]
    assert all(torch.equal(*pair) for pair in zip(views(shown), expected, strict=True))


def pictures(movie: Tensor) -> Tensor:
    return movie[:, 0]


def test_our_scores_are_kornias() -> None:
    first, second = movie(2, 1, 5, 30, 40), movie(2, 1, 5, 30, 40).flip(0)
    maps = kornia.metrics.ssim(pictures(first).double(), pictures(second).double(), 11, eps=0.0, padding="valid")
    torch.testing.assert_close(ssim(first, second), maps.mean((1, 2, 3)).float(), rtol=0, atol=1e-6)
    ratios = torch.stack([kornia.metrics.psnr(*pair, 1.0) for pair in zip(first, second, strict=True)])
    torch.testing.assert_close(psnr(first, second), ratios, rtol=1e-6, atol=0)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_our_filter_is_kornias_inside_and_mirrors_the_edge_itself(sigma: float) -> None:
    """kornia's borders leave the edge out of the mirror; ours, SciPy's and the published masks' repeat it."""
    shown, reach = movie(1, 1, 3, 30, 40, dtype=torch.float64), int(4 * sigma + 0.5)
    blur: Callable[..., Tensor] = kornia.filters.gaussian_blur2d
    ours = pictures(gaussian_filter(shown, (0.0, sigma, sigma)))
    theirs = blur(pictures(shown), 2 * reach + 1, (sigma, sigma))
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=0, atol=1e-7)
    assert float((ours - theirs).abs().max()) > 1e-3
    tiled = torch.cat([pictures(shown).flip(-1), pictures(shown), pictures(shown).flip(-1)], -1)
    tiled = torch.cat([tiled.flip(-2), tiled, tiled.flip(-2)], -2)
    mirrored = blur(tiled, 2 * reach + 1, (sigma, sigma))[..., 30:60, 40:80]
    torch.testing.assert_close(ours, mirrored, rtol=0, atol=1e-7)
