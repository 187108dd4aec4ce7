"""What samplers with a denoiser get wrong of a posterior that is known: where they centre, how far they spread."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recon.methods import DiffPir, Dps, Egg, PlugAndPlay, RedDiff, SplitGibbs
from recon.methods.diffusion.sample import Sample
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.lbfgs import Lbfgs

sampler_bias: Any = importlib.import_module("sampler_bias")
HIGH = 4.0
"""Noise to start from: above the standard deviation, 1.55, of the prior's largest coefficient."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A world whose responses are precise: samplers differ most there."""
    return sampler_bias.make_world(tmp_path_factory.mktemp("sharp"), noise=sampler_bias.SHARP, clips=2)


def found(world: Any, method: Any, draws: int = 32, **how: Any) -> Any:
    return sampler_bias.bias(world, sampler_bias.drawn(world, replace(method, artefact=world.artefact), draws, **how))


@pytest.mark.parametrize("noise", [sampler_bias.WEAK, sampler_bias.SHARP])
def test_exact_draws_have_no_bias(noise: float, tmp_path: Path) -> None:
    world = sampler_bias.make_world(tmp_path, noise=noise, clips=2)
    exact = sampler_bias.bias(world, world.draws(64))
    assert exact.mean < 0.06 and [exact.spread, exact.most, exact.least] == pytest.approx([1, 1, 1], abs=0.04)
    assert exact.coverage == pytest.approx(0.9, abs=0.01)
    moved = sampler_bias.bias(world, world.draws(64) + 0.05)
    assert moved.mean == pytest.approx(0.05 * (576 / world.total) ** 0.5, abs=3 * moved.error)


def prior_variance(world: Any, method: Any) -> float:
    """Variance of whitened coefficients of 96 draws; the prior's is 1."""
    drawn = sampler_bias.drawn(world, replace(method, artefact=world.artefact), 48)
    return float(sampler_bias.whitened(drawn).square().mean())


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_samples_of_the_prior_have_its_variance(world: Any, share: float) -> None:
    method = Sample(levels=100, highest=HIGH, lowest=0.005, noise=share)
    assert prior_variance(world, method) == pytest.approx(1, abs=0.08)


def test_a_fixed_share_of_new_noise_at_many_levels_shrinks_the_prior(world: Any) -> None:
    """What DPS without activity does: (1 + √(1 − s²)) / 2 of the variance is left."""
    method = Dps(levels=300, highest=HIGH, lowest=0.005, noise=1.0, beta=0.0)
    assert prior_variance(world, method) == pytest.approx(0.5, abs=0.025)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_egg_without_activity_draws_the_prior(world: Any, noise: float) -> None:
    """Ancestral, as published: whatever share of it is drawn, no variance is lost."""
    method = Egg(levels=100, highest=HIGH, lowest=0.005, scale=0.0, noise=noise)
    assert prior_variance(world, method) == pytest.approx(1, abs=0.08)


@pytest.mark.slow  # many draws
def test_egg_is_biased_whatever_its_scale_and_levels(world: Any) -> None:
    """The best scale falls with levels, as the way that activity goes is their product, and the bias stays."""
    for levels, scales in ((15, (0.2, 0.4, 0.8)), (60, (0.1, 0.2, 0.4))):
        tried = [found(world, Egg(levels=levels, scale=scale, highest=HIGH)).mean for scale in scales]
        assert min(tried) > 0.2


def test_egg_spreads_in_what_activity_constrains_as_far_as_its_last_step(world: Any) -> None:
    few, fine = found(world, Egg(levels=20, scale=3.0)), found(world, Egg(levels=20, scale=0.3))
    assert few.most > 1.7 and fine.most < 0.9


@pytest.mark.slow  # many draws
def test_dps_comes_nearer_with_levels_as_far_as_noise_is_drawn_anew(world: Any) -> None:
    coarse, fine = (found(world, Dps(levels=levels, highest=HIGH)) for levels in (20, 150))
    still = found(world, Dps(levels=150, highest=HIGH, noise=0.0))
    assert 0.15 < coarse.mean < 0.3 and fine.mean < 0.65 * coarse.mean and still.mean > 0.17
    assert coarse.most < fine.most < 1.0 and still.most < fine.most
    assert 0.8 < coarse.spread < fine.spread < 1.0 and coarse.coverage < 0.86


def test_without_its_trust_dps_diverges_where_responses_are_precise(world: Any) -> None:
    assert found(world, Dps(levels=50, highest=HIGH, trust=1e9)).spread > 1e3
    assert found(world, Dps(levels=50, highest=HIGH)).spread < 1


def test_diffpir_finds_the_mean_and_spreads_too_little(world: Any) -> None:
    spectrum, white = (found(world, DiffPir(levels=10, noise=0.0, covariance=c), 3) for c in ("spectrum", "white"))
    finer, noisy = found(world, DiffPir(levels=25, noise=0.0), 3), found(world, DiffPir(levels=10))
    assert spectrum.mean < 0.1 < white.mean < 0.25 and finer.mean < 0.5 * spectrum.mean
    assert spectrum.spread == white.spread == 0
    assert 0.6 < noisy.spread < 0.5**0.5 and noisy.mean < 0.1 and noisy.coverage < 0.77


@pytest.mark.slow  # many draws
def test_diffpir_that_carries_its_noise_draws_from_the_posterior(world: Any) -> None:
    method = DiffPir(highest=HIGH, carried=True, data=DataStep(steps=8))
    coarse, fine = (found(world, replace(method, levels=levels)) for levels in (12, 40))
    assert fine.mean < 0.1 and coarse.spread < fine.spread
    assert fine.spread == pytest.approx(0.93, abs=0.05) and fine.coverage == pytest.approx(0.88, abs=0.025)


def test_red_diff_jitters_about_a_biased_mean(world: Any) -> None:
    jitter = found(world, RedDiff(prior=300.0))
    assert 0.1 < jitter.mean < 0.5 and 0.3 < jitter.spread < 0.55 and jitter.coverage < 0.6


@pytest.mark.slow  # many draws
def test_plug_and_play_is_the_posterior_mean_without_a_spread(world: Any) -> None:
    data = DataStep(steps=12, optimiser=Lbfgs(backtracks=24))
    rest = found(world, PlugAndPlay(iterations=30, sigma=0.25, data=data), 3, key="x")
    assert rest.mean < 0.02 and rest.spread == 0 and rest.coverage == 0


@pytest.mark.slow  # many draws
def test_split_gibbs_spreads_by_its_rho_too_far_and_no_further(world: Any) -> None:
    """In all directions by ρ: the variance of x is what the prior's and ρ² together leave, in pixels."""
    rho = 0.2
    power = sampler_bias.worlds.spectrum().power.flatten().double()
    wide = (1 + rho**2 / power).diag()
    seen = (world.directions * world.information) @ world.directions.T
    expected = float((torch.linalg.inv(torch.linalg.inv(wide) + seen).diagonal() * power).sum() / world.total) ** 0.5
    chains = found(world, SplitGibbs(iterations=200, burn=50, rho=rho), 8, key="x", every=5)
    assert expected > 1.5 and chains.spread == pytest.approx(expected, rel=0.06)
    assert chains.most == pytest.approx(1, abs=0.15)
