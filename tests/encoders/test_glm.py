"""Generalised linear model: equation, causality, gradients, checkpoints, and recovery of planted cells by the fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from recon.encoders import load
from recon.encoders.base import Spec, freeze
from recon.encoders.checkpoints import save_encoder
from recon.encoders.glm.fit import (
    GlmFit,
    fit_glm,
    localised_start,
    log_likelihood,
    mean_rate_likelihood,
    spike_triggered_average,
)
from recon.encoders.glm.model import Glm, GlmSettings, separable_drive
from recon.encoders.training.clips import TrainingClip
from recon.train.encoder import EncoderTraining, learn

SIZE, LAGS, CELLS = (8, 10), 6, 5


def planted(rank: int = 1, seed: int = 0) -> Glm:
    """Cells with a Gaussian spatial and a biphasic temporal filter."""
    generator = torch.Generator().manual_seed(seed)
    encoder = Glm(Spec(SIZE, tuple(range(10, 10 + CELLS))), GlmSettings(lags=LAGS, rank=rank))
    place = torch.cartesian_prod(torch.arange(SIZE[0]), torch.arange(SIZE[1])).float()
    centre = torch.rand(CELLS, rank, 1, 2, generator=generator) * torch.tensor([5.0, 7.0]) + 1
    spot = torch.exp(-(place - centre).square().sum(3) / 2)
    course = torch.tensor([0.0, 0.3, 1.0, 0.4, -0.5, -0.2]) * (1 - 2 * (torch.arange(CELLS) % 2))[:, None, None]
    with torch.no_grad():
        encoder.space.copy_(spot.reshape(encoder.space.shape))
        encoder.time.copy_(course.expand(CELLS, rank, LAGS) / rank)
        encoder.bias.fill_(-2.0)
        encoder.gain.copy_(0.5 + torch.rand(CELLS, generator=generator))
    return encoder.eval()


def white_clips(encoder: Glm, count: int, *, frames: int = 150, seed: int = 1) -> list[TrainingClip]:
    generator = torch.Generator().manual_seed(seed)
    movies = 0.5 + 0.125 * torch.randn(count, 1, frames, *SIZE, generator=generator)
    with torch.no_grad():
        spikes = torch.poisson(encoder(movies), generator=generator)
    return [TrainingClip(movie, responses) for movie, responses in zip(movies, spikes, strict=True)]


def filters(encoder: Glm) -> Tensor:
    return torch.einsum("nrhw,nrl->nlhw", encoder.space, encoder.time).detach().flatten(1)


def test_rates_are_those_of_the_equation() -> None:
    encoder = planted(rank=2)
    movie = torch.rand(2, 1, 9, *SIZE, generator=torch.Generator().manual_seed(3))
    normal = (movie[:, 0] - 0.5) / 0.125
    drive = encoder.bias[None, :, None].repeat(2, 1, 9)
    for t in range(9):
        for lag in range(min(LAGS, t + 1)):
            seen = torch.einsum("nrhw,bhw->bnr", encoder.space, normal[:, t - lag])
            drive[:, :, t] += (seen * encoder.time[:, :, lag]).sum(2)
    expected = encoder.gain[:, None] * torch.log1p(drive.exp())
    assert torch.allclose(encoder(movie), expected, atol=1e-5)


def test_no_rate_sees_the_future_or_beyond_its_lags() -> None:
    encoder = freeze(planted())
    movie = torch.rand(1, 1, 20, *SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(movie)[..., 12].sum(), movie)
    seen = gradient.abs().sum((0, 1, 3, 4)) > 0
    assert encoder.spec.context == (LAGS - 1, 0)
    assert seen.nonzero().flatten().tolist() == [7, 8, 9, 10, 11]  # lags 5 … 1; the temporal filter is zero at lag 0


def test_gradient_in_the_movie_is_exact() -> None:
    encoder = freeze(planted(rank=2).double())
    movie = torch.rand(1, 1, 7, *SIZE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoder, (movie,), fast_mode=True)


def test_a_batch_gives_what_its_samples_give_alone() -> None:
    encoder = planted()
    movie = torch.rand(3, 1, 12, *SIZE)
    assert torch.allclose(encoder(movie)[1:2], encoder(movie[1:2]), atol=1e-6)


def test_drive_of_several_pairs_is_the_sum_of_their_drives() -> None:
    encoder, movie = planted(rank=2), torch.rand(1, 12, *SIZE)
    parts = [separable_drive(movie, encoder.space[:, r : r + 1], encoder.time[:, r : r + 1]) for r in (0, 1)]
    assert torch.allclose(separable_drive(movie, encoder.space, encoder.time), parts[0] + parts[1], atol=1e-4)


def test_average_before_a_response_is_the_explicit_one() -> None:
    encoder = planted()
    (clip,) = white_clips(encoder, 1, frames=40)
    normal, expected = (clip.movie[0] - 0.5) / 0.125, torch.zeros(CELLS, LAGS, *SIZE)
    for t in range(LAGS - 1, 40):
        expected += clip.responses[:, t, None, None, None] * normal[t - LAGS + 1 : t + 1].flip(0)
    expected /= clip.responses[:, LAGS - 1 :].sum(1).clamp_min(1)[:, None, None, None]
    assert torch.allclose(spike_triggered_average(encoder, [clip]), expected.flatten(2), atol=1e-5)


def test_start_lies_where_the_cells_see() -> None:
    truth = planted()
    average = spike_triggered_average(truth, white_clips(truth, 30))
    start = localised_start(truth, average, 1.5)
    peak = truth.space[:, 0].flatten(1).argmax(1)
    assert (start.distance[torch.arange(CELLS), peak] <= 2).all()


def test_fit_finds_planted_filters_and_predicts_almost_as_well_as_they_do() -> None:
    truth = planted()
    training, validation = white_clips(truth, 60), white_clips(truth, 12, seed=2)
    encoder = Glm(truth.spec, truth.settings)
    outcome = fit_glm(encoder, training, validation, GlmFit(widths=(1.0, 2.0), frames=150, learning_rate=0.03))
    cosine = torch.cosine_similarity(filters(encoder), filters(truth))
    constant = mean_rate_likelihood(training, validation, LAGS - 1)
    gained = [log_likelihood(model, validation) - constant for model in (encoder, truth)]
    assert (cosine > 0.93).all(), cosine
    assert (gained[0] > 0.9 * gained[1]).all(), gained
    assert outcome.steps == 300 and outcome.score > 0.3


def test_the_prior_keeps_weights_near_the_centre() -> None:
    truth = planted()
    clips = white_clips(truth, 8)
    encoder, free = (Glm(truth.spec, truth.settings) for _ in range(2))
    fit_glm(encoder, clips, clips[:2], GlmFit(widths=(1.0,), frames=150, steps=60))
    fit_glm(free, clips, clips[:2], GlmFit(widths=(50.0,), frames=150, steps=60, ridge=0.0))
    far = torch.cartesian_prod(torch.arange(SIZE[0]), torch.arange(SIZE[1])).float()
    peak = truth.space[:, 0].flatten(1).argmax(1)
    outside = (far - far[peak][:, None]).square().sum(2) > 25
    share = [(filters(m).reshape(CELLS, LAGS, -1).square().sum(1) * outside).sum() for m in (encoder, free)]
    assert share[0] < 0.05 * share[1]


def test_fit_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    truth = planted()
    clips, settings = white_clips(truth, 4), GlmFit(widths=(1.5,), frames=60, steps=5)
    before = torch.get_rng_state()
    fits = [Glm(truth.spec, truth.settings) for _ in range(2)]
    for encoder in fits:
        fit_glm(encoder, clips[:3], clips[3:], settings)
    assert torch.equal(fits[0].space, fits[1].space)
    assert torch.equal(before, torch.get_rng_state())


def test_checkpoint_gives_the_encoder_back(tmp_path: Path) -> None:
    encoder = planted(rank=2)
    save_encoder(encoder, tmp_path / "cells.safetensors", card={"name": "cells"})
    again = load("glm", weights=str(tmp_path / "cells.safetensors"))
    movie = torch.rand(1, 1, 9, *SIZE)
    assert again.spec == encoder.spec
    assert torch.equal(again(movie), encoder(movie))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="lags and rank"):
        GlmSettings(lags=0)
    with pytest.raises(ValueError, match="std above 0"):
        GlmSettings(std=0.0)
    with pytest.raises(ValueError, match="grey"):
        Glm(Spec(SIZE, (0,), channels=3))
    with pytest.raises(ValueError, match="glm fit"):
        GlmFit(widths=())


def test_the_way_of_training_must_be_that_of_the_encoder() -> None:
    chosen = EncoderTraining(Path("recording"), Path("cells.safetensors"), encoder="glm")
    with pytest.raises(ValueError, match="fit: expected"):
        learn(planted(), [], [], chosen, log=None)
