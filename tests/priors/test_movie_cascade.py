"""The cascade: exact averages, one noise level for both stages, captions over time, and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recon.errors import InputError
from recon.priors.coarse_diffusion import (
    CoarseDiffusion,
    load_coarse_diffusion,
    packed,
    save_coarse_diffusion,
    told_of,
)
from recon.priors.coarse_movies import averaged, frames_of, pooled, unpooled
from recon.priors.coarse_unet import CoarseUnetSettings
from recon.priors.diffusion import load_movie_prior
from recon.priors.movie_cascade import HIGHEST, LOWEST, SHARES, MovieCascade, load_movie_cascade, save_movie_cascade
from recon.priors.movie_diffusion import MovieDiffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.spectrum import Spectrum
from recon.priors.text import TextEncoder

COARSE = CoarseUnetSettings(widths=(8, 16), depths=(1, 1), heads=2, words=8, steering=8)
FINE = MovieUnetSettings(widths=(4, 6), depth=1, steering=8, inputs=3)


def stirred(model: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if "norm" not in name:
            value.data = 0.3 * torch.randn(value.shape, generator=generator)


def coarse(seed: int = 0) -> CoarseDiffusion:
    model = CoarseDiffusion(COARSE, spectrum=Spectrum(torch.rand(4, 6, 8) + 0.01, torch.full((6, 8), 0.4)))
    stirred(model, seed)
    return model.requires_grad_(False).eval()


def cascade(**chosen: int) -> MovieCascade:
    fine = MovieDiffusion(FINE, spectrum=Spectrum(torch.rand(8, 12, 16) + 0.01, torch.full((12, 16), 0.4)))
    model = MovieCascade(coarse(), fine, **chosen)
    stirred(model.fine, 1)
    model.share.data = torch.linspace(0, 1, SHARES)
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize("frames", [1, 3, 4, 10, 16])
def test_coarse_movies_are_averages_under_the_same_noise_everywhere(frames: int) -> None:
    movie = torch.rand(2, 1, frames, 6, 8)
    found = pooled(movie)
    length = min(frames, 4)
    assert found.shape == (2, 1, -(-frames // 4), 3, 4)
    assert torch.allclose(found[:, :, 0, 1, 2], movie[:, :, :length, 2:4, 4:6].mean((2, 3, 4)))
    assert torch.allclose(found[:, :, -1, 0, 0], movie[:, :, -length:, :2, :2].mean((2, 3, 4)))
    noise = pooled(torch.randn(4000, 1, frames, 2, 2)) * averaged(frames) ** 0.5
    assert torch.allclose(noise.std(0), torch.ones(1), atol=0.05)
    assert all(
        start <= place < start + 4 for start, place in zip((0, 4, 8, 12), frames_of(frames).tolist(), strict=False)
    )


@pytest.mark.parametrize("frames", [2, 4, 10, 16])
def test_interpolation_keeps_what_is_linear_in_time_and_space(frames: int) -> None:
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(6), torch.arange(8), indexing="ij")
    movie = (0.1 + 0.02 * t + 0.03 * y - 0.01 * x)[None, None].float()
    found = unpooled(pooled(movie), movie.shape)
    inner = (slice(2, frames - 2), slice(1, -1), slice(1, -1))
    assert found.shape == movie.shape
    assert torch.allclose(found[0, 0][inner], movie[0, 0][inner], atol=1e-6)


def test_the_coarse_stage_sees_the_movie_under_a_quarter_of_the_noise() -> None:
    model, levels = cascade(), []
    model.coarse.network.register_forward_pre_hook(lambda _, given: levels.append(given[1]))
    model(torch.rand(2, 1, 8, 12, 16), torch.tensor([0.4]))
    assert torch.allclose(levels[0], torch.tensor([0.1, 0.1]).log() / 4)


def test_shares_are_linear_in_the_logarithm_of_the_noise() -> None:
    model = cascade()
    middle = (LOWEST * HIGHEST) ** 0.5
    found = model.share_at(torch.tensor([1e-4, LOWEST, middle, HIGHEST, 1e4]))
    assert torch.allclose(found, torch.tensor([0, 0, 0.5, 1, 1.0]), atol=1e-5)


def test_a_frame_is_told_its_own_caption_and_no_other() -> None:
    model, x = coarse(), torch.rand(1, 1, 8, 6, 8)
    one, other = torch.randn(2, 384)
    changed = torch.stack([*[one] * 4, *[other] * 4])[None]
    told = told_of(x, changed, 384)
    assert told.texts.shape == (1, 2, 1, 384) and told.frame.tolist() == [[0] * 4 + [1] * 4]
    sigma = torch.tensor([0.5])
    alike = model(x, sigma, one[None])
    assert torch.allclose(model(x, sigma, one.expand(1, 8, -1)), alike, atol=1e-6)
    mixed = model(x, sigma, changed)
    assert not torch.allclose(mixed[:, :, 6:], alike[:, :, 6:], atol=1e-4)


def test_without_a_caption_or_with_one_of_nan_nothing_is_told() -> None:
    model, x, sigma = coarse(), torch.rand(2, 1, 8, 6, 8), torch.tensor([0.5])
    silent = torch.full((2, 384 * 3), torch.nan)
    assert torch.allclose(model(x, sigma), model(x, sigma, silent), atol=1e-5)
    assert not torch.allclose(model(x, sigma), model(x, sigma, torch.randn(2, 384 * 3)), atol=1e-3)
    assert bool(model(x, sigma, silent).isfinite().all())


def test_words_count_beside_the_sentence_and_their_padding_does_not() -> None:
    model, x, sigma = coarse(), torch.rand(1, 1, 4, 6, 8), torch.tensor([0.5])
    short, long = packed(["a star", "a small plain star on the left moves slowly"], TextEncoder())
    assert short.shape == long.shape == (384 * 49,)
    trimmed = short.reshape(49, 384)
    trimmed = trimmed[~trimmed[:, 0].isnan()].flatten()[None]
    assert torch.allclose(model(x, sigma, short[None]), model(x, sigma, trimmed), atol=1e-5)
    alone = model(x, sigma, short[None, :384])
    assert not torch.allclose(alone, model(x, sigma, trimmed), atol=1e-3)
    assert bool(packed([""], TextEncoder()).isnan().all())


def test_clips_of_other_lengths_and_sizes_keep_their_shape() -> None:
    model = cascade()
    for shape in ((1, 1, 1, 12, 16), (2, 1, 11, 12, 16), (1, 1, 9, 13, 15)):
        assert model(torch.rand(shape), torch.tensor([0.3])).shape == shape
    windowed = cascade(window=8)
    assert windowed(torch.rand(1, 1, 20, 12, 16), torch.tensor([0.3]), torch.randn(1, 20, 384)).shape[2] == 20


def test_the_gradient_passes_through_both_stages() -> None:
    x = torch.rand(1, 1, 8, 12, 16, requires_grad=True)
    model = cascade()
    model(x, torch.tensor([0.3])).square().sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all()) and bool(x.grad.any())


def test_a_cascade_comes_back_from_its_file_by_the_name_of_diffusion(tmp_path: Path) -> None:
    model, x = cascade(), torch.rand(1, 1, 8, 12, 16)
    save_movie_cascade(model, tmp_path / "tiny.safetensors", card={"name": "tiny"})
    found = load_movie_prior(tmp_path / "tiny.safetensors", window=9)
    assert isinstance(found, MovieCascade) and found.window == 9
    assert torch.allclose(found(x, torch.tensor([0.3])), model.half().float()(x, torch.tensor([0.3])), atol=1e-4)
    with pytest.raises(InputError, match="expected a cascade of movies"):
        load_movie_cascade("movie_diffusion")
    save_coarse_diffusion(coarse(), tmp_path / "coarse.safetensors", card={})
    assert load_coarse_diffusion(tmp_path / "coarse.safetensors").network.settings == COARSE
    with pytest.raises(InputError, match="stage: coarse"):
        load_coarse_diffusion("nothing")
