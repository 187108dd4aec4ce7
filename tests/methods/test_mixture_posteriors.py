"""Posteriors that are known and not Gaussian: the quadrature against brute force, and what samplers make of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from worlds import mixture as worlds

from recon.methods import Dps, PlugAndPlay, RedDiff, SplitGibbs
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.lbfgs import Lbfgs

mixture_posteriors: Any = importlib.import_module("mixture_posteriors")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> worlds.MixtureWorld:
    """Movies of two pixels, and responses that say much."""
    return worlds.make_world(tmp_path_factory.mktemp("two"), 2, noise=0.2, clips=120)


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_the_quadrature_is_what_weighted_draws_of_the_prior_say(latents: int, tmp_path: Path) -> None:
    """The responses are read through the public encoder; the posterior has more than one mode."""
    known = worlds.make_world(tmp_path, latents, noise=mixture_posteriors.NOISE[latents], clips=4)
    draws = known.modes.draws(60_000, torch.Generator().manual_seed(9))
    rates = known.encoder(known.modes.movies(draws)).flatten(1)
    seen = known.problem.observations[0].measurement.responses.flatten(1)
    weights = (-0.5 * ((rates - seen[:, None]) / known.noise).square().sum(-1)).double().softmax(1)
    mean = weights @ draws
    error = ((weights.square() @ draws.square()) + weights.square().sum(1, keepdim=True) * mean.square()).sqrt()
    assert ((known.posterior.mean - mean).abs() < 4 * error).all()
    (misfit,) = known.problem.sample(torch.tensor([0])).energy(known.modes.movies(draws[:1]))
    assert float(misfit) == pytest.approx(float(((rates[0] - seen[0]) / known.noise).square().sum() / 2), rel=1e-5)
    second = weights @ draws.square().sum(1) - mean.square().sum(1)
    assert known.posterior.variance == pytest.approx(second, rel=0.15)
    probability = known.posterior.probability @ mixture_posteriors.membership(known.modes, known.posterior.points)
    assert float(probability.amax(1).min()) < 0.9


def test_a_finer_grid_says_the_same(tmp_path: Path) -> None:
    for latents in (1, 2, 3):
        known = worlds.make_world(tmp_path, latents, noise=mixture_posteriors.NOISE[latents], clips=2)
        seen = known.problem.observations[0].measurement.responses.flatten(1).double()
        coarse = worlds.POINTS[latents] * 2 // 3
        again = worlds.integrated(known.modes, known.encoder, seen, known.noise, coarse)
        assert torch.allclose(again.mean, known.posterior.mean, atol=2e-4)
        assert torch.allclose(again.variance, known.posterior.variance, rtol=5e-3)


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_the_denoiser_is_the_posterior_mean_on_the_grid(latents: int) -> None:
    modes, noise = worlds.modes_of(latents), 0.1
    clean = modes.movies(modes.draws(3, torch.Generator().manual_seed(1)))
    noisy = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    axis = torch.linspace(-0.8, 0.8, 81, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * latents).reshape(-1, latents)
    pixels = 0.5 + grid @ modes.basis.T
    near = torch.cdist(noisy.flatten(1).double(), pixels).square() / (2 * noise**2)
    expected = (modes.log_parts(grid).logsumexp(-1) - near).softmax(1) @ pixels
    found = worlds.MixtureDenoiser(modes)(noisy, torch.full((3,), noise))
    assert torch.allclose(found.flatten(1).double(), expected, atol=1e-5)


def test_exact_draws_pass(world: worlds.MixtureWorld) -> None:
    exact = world.posterior.draws(39, torch.Generator().manual_seed(4))
    found = mixture_posteriors.departure(world, world.modes.movies(exact).flatten(2).double())
    assert found.mean < 3 * found.error + 0.05 and found.spread == pytest.approx(1, abs=0.04)
    assert found.half == pytest.approx(0.5, abs=0.1) and found.ninety == pytest.approx(0.9, abs=0.06)
    assert min(found.tarp, found.blind) > 0.05


def test_the_prior_alone_passes_only_references_that_ignore_the_responses(world: worlds.MixtureWorld) -> None:
    draws = world.modes.draws(120 * 39, torch.Generator().manual_seed(4)).unflatten(0, (120, 39))
    found = mixture_posteriors.departure(world, world.modes.movies(draws).flatten(2).double())
    assert found.blind > 0.05 and found.tarp < 0.001
    assert found.ninety == pytest.approx(0.9, abs=0.06) and found.mean > 0.5 and found.spread > 1.2


def test_a_point_estimate_covers_nothing(tmp_path: Path) -> None:
    known = worlds.make_world(tmp_path, 1, noise=0.3, clips=20)
    data = DataStep(steps=4, optimiser=Lbfgs(backtracks=24))
    method = PlugAndPlay(iterations=4, data=data, denoiser=known.prior, artefact=known.artefact)
    found = mixture_posteriors.departure(known, mixture_posteriors.drawn(known, method, 19))
    assert [found.spread, found.half, found.ninety] == pytest.approx([0, 0, 0], abs=1e-9) and found.tarp < 0.001


def test_where_the_encoder_is_linear_posterior_sampling_is_right(tmp_path: Path) -> None:
    """The control: what goes wrong elsewhere is the methods' treatment of the encoder, not the prior or the table."""
    known = worlds.make_world(tmp_path, 2, noise=1.0, clips=60, curved=False)
    method = Dps(levels=100, highest=1.5, lowest=0.01, denoiser=known.prior, artefact=known.artefact)
    found = mixture_posteriors.departure(known, mixture_posteriors.drawn(known, method, 19))
    assert found.mean < 0.2 and found.spread == pytest.approx(1, abs=0.06)
    assert found.ninety == pytest.approx(0.9, abs=0.08)


@pytest.mark.slow  # many draws
def test_split_gibbs_is_right_where_its_chains_reach_all_modes(tmp_path: Path) -> None:
    known = worlds.make_world(tmp_path, 2, noise=1.0, clips=60, curved=False)
    own: dict[str, Any] = {"denoiser": known.prior, "artefact": known.artefact}
    method = SplitGibbs(iterations=300, burn=100, rho=0.05, lowest=0.005, **own)
    found = mixture_posteriors.departure(known, mixture_posteriors.drawn(known, method, 19))
    assert found.mean < 0.2 and found.spread == pytest.approx(1, abs=0.05) and found.tarp > 0.01


@pytest.mark.slow  # many draws
def test_posterior_sampling_finds_the_modes_better_than_score_distillation(world: worlds.MixtureWorld) -> None:
    known: dict[str, Any] = {"denoiser": world.prior, "artefact": world.artefact}
    dps, red_diff = (
        mixture_posteriors.departure(world, mixture_posteriors.drawn(world, method, 19))
        for method in (Dps(levels=200, highest=1.5, lowest=0.01, noise=1.0, **known), RedDiff(**known))
    )
    assert dps.modes < red_diff.modes and dps.ninety > red_diff.ninety
