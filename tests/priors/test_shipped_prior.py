"""The shipped prior denoises held-out movies better than a Gaussian, and correct text improves it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from recon.priors.movie_diffusion import MovieDiffusion, load_movie_diffusion
from recon.priors.spectrum import GaussianDenoiser
from recon.priors.weights_file import SHIPPED
from recon.simulate.movies import make_clip

prior_errors: Any = importlib.import_module("prior_errors")


@pytest.fixture(scope="module")
def shipped() -> MovieDiffusion:
    return load_movie_diffusion("movie_diffusion")


def test_it_is_small_and_says_where_it_is_from() -> None:
    weights, card = SHIPPED / "movie_diffusion.safetensors", json.loads((SHIPPED / "movie_diffusion.json").read_text())
    assert weights.stat().st_size < 25e6
    assert {"training", "steps", "history", "held_out_squared_error", "command"} <= set(card)
    errors = card["held_out_squared_error"]
    for sigma in ("0.1", "0.2", "0.4", "0.8", "1.6"):
        assert errors["caption: right"][sigma] < errors["gaussian"][sigma]
        assert errors["interval of gaussian - right"][sigma][0] > 0


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.6])
def test_movies_of_validation_sources_are_denoised_better_than_by_a_gaussian(
    shipped: MovieDiffusion, sigma: float
) -> None:
    generator, level = torch.Generator().manual_seed(0), torch.tensor([sigma])
    clips = [torch.from_numpy(make_clip("validation", number, frames=48).video) for number in (101, 102, 103, 104)]
    gaussian, ratios = GaussianDenoiser(shipped.gaussian((48, 36, 64))), []
    for clip in clips:
        movie = clip[None, None].float() / 255
        noisy = movie + sigma * torch.randn(movie.shape, generator=generator)
        ours, theirs = (((denoiser(noisy, level) - movie) ** 2).mean() for denoiser in (shipped, gaussian))
        ratios.append(float(ours / theirs))
    assert sum(ratios) / len(ratios) < 0.97


def test_long_clips_have_no_seams_between_windows(shipped: MovieDiffusion) -> None:
    """At window borders the estimate's frame-to-frame change is no larger than elsewhere."""
    movie = torch.from_numpy(make_clip("validation", 105, frames=128).video)[None, None].float() / 255
    noisy = movie + 0.2 * torch.randn(movie.shape, generator=torch.Generator().manual_seed(1))
    whole = shipped(noisy, torch.tensor([0.2]))
    shipped.window = 32
    pieces = shipped(noisy, torch.tensor([0.2]))
    shipped.window = 0
    apart = (pieces - whole).square().mean((0, 1, 3, 4)).sqrt()
    change = (pieces - whole).diff(dim=2).square().mean((0, 1, 3, 4)).sqrt()
    own = whole.diff(dim=2).square().mean((0, 1, 3, 4)).sqrt()
    assert float(change.max()) < 0.5 * float(own.median()) and float(apart.max()) < 0.03


@pytest.fixture(scope="module")
def films(real_data: Path) -> torch.Tensor:
    clips: torch.Tensor = prior_errors.clips_of(real_data / "movies_open", per_film=1)
    return clips


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.6])
def test_films_that_it_never_saw_are_denoised_better_than_by_a_gaussian(
    shipped: MovieDiffusion, films: torch.Tensor, sigma: float
) -> None:
    ours, theirs = prior_errors.errors(shipped, films, sigma)
    assert float((ours / theirs).mean()) < 0.98
