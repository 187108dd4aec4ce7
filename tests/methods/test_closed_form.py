"""A linear–Gaussian world whose posterior mean is a ten-line solve; methods are measured against it."""

from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon.methods import Gradient, PlugAndPlay, SplitGibbs
from recon.methods.artefacts import save_artefact
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.first_order import Adam
from recon.methods.optimise.lbfgs import Lbfgs
from recon.priors.spectrum import inverse_cosine_transform
from recon.problem.problem import Observation, Problem


def unit_gaussian(rates: torch.Tensor, responses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (0.5 * (rates - responses) ** 2 * mask).flatten(1).sum(1)


def posterior_mean(problem: Problem) -> torch.Tensor:
    """x = m + S^½ (AᵀA + I)⁻¹ Aᵀ (y − r(m)) with A the rates' Jacobian in whitened coefficients."""
    known, measured = worlds.spectrum(), problem.observations[0].measurement
    size = known.power.numel()
    basis = inverse_cosine_transform(known.power.sqrt() * torch.eye(size).reshape(size, 1, *known.power.shape))
    encoder = problem.observations[0].encoder
    mean = known.mean.expand(1, 1, *known.power.shape)
    offset = encoder(mean)
    jacobian = (encoder(mean + basis) - offset)[:, measured.neurons].flatten(1).T
    residual = (measured.responses - offset)[:, measured.neurons].flatten(1)
    z = torch.linalg.solve(jacobian.T @ jacobian + torch.eye(size), jacobian.T @ residual.T).T
    return known.mean + inverse_cosine_transform(known.power.sqrt() * z.reshape(-1, 1, *known.power.shape))


@pytest.fixture
def world(tmp_path: Path) -> tuple[Problem, Path]:
    known = worlds.spectrum()
    artefact = tmp_path / "spectrum.safetensors"
    save_artefact({"power": known.power, "mean": known.mean}, artefact)
    measured = worlds.measurement(worlds.movies(2, seed=4), link="identity")
    return Problem(unit_gaussian, (Observation(worlds.encoder(link="identity"), measured),)), artefact


@pytest.mark.parametrize("optimiser, iterations", [(Lbfgs(), 30), (Adam(0.05), 400)])
def test_map_is_the_posterior_mean(world: tuple[Problem, Path], optimiser, iterations: int) -> None:
    problem, artefact = world
    method = Gradient(iterations, "spectrum", optimiser, prior=1.0, artefact=artefact)
    *_, last = method(problem, torch.Generator())
    expected = posterior_mean(problem).clamp(0, 1)
    error, scale = (last.movie - expected).std(), expected.std()
    assert float(error) < 0.02 * float(scale)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.25, 0.4])
def test_plug_and_play_with_the_wiener_denoiser_comes_to_rest_at_the_map_movie(world, sigma: float) -> None:
    problem, artefact = world
    data = DataStep(steps=12, optimiser=Lbfgs(backtracks=24))
    method = PlugAndPlay(iterations=60, sigma=sigma, data=data, artefact=artefact)
    *_, last = method(problem, torch.Generator())
    expected = posterior_mean(problem)
    assert float((last.state["x"] - expected).std()) < 1e-3 * float(expected.std())
    assert float(last.terms["apart"].max()) < 1e-3 * float(expected.std())


def split_posterior(problem: Problem, rho: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean `[B,D]` and variances `[D]` of x in p(x, z): the prior's covariance is widened by ρ²."""
    known, measured = worlds.spectrum(), problem.observations[0].measurement
    power, size = known.power + rho**2, known.power.numel()
    basis = inverse_cosine_transform(power.sqrt() * torch.eye(size).reshape(size, 1, *power.shape))
    encoder, mean = problem.observations[0].encoder, known.mean.expand(1, 1, *power.shape)
    offset = encoder(mean)
    jacobian = (encoder(mean + basis) - offset)[:, measured.neurons].flatten(1).T
    covariance = torch.linalg.inv(jacobian.T @ jacobian + torch.eye(size))
    residual = (measured.responses - offset)[:, measured.neurons].flatten(1)
    pixels = basis.flatten(1).T
    expected = (pixels @ covariance @ jacobian.T @ residual.T).T + mean.flatten()
    return expected, ((pixels @ covariance) * pixels).sum(1)


@pytest.mark.slow
def test_split_gibbs_has_the_mean_and_the_variance_of_the_closed_form(world) -> None:
    """Within what eight chains of 200 iterations know, which they say themselves by how far they lie apart."""
    problem, artefact = world
    chains, rho = 8, 0.2
    method = SplitGibbs(iterations=300, burn=100, rho=rho, levels=30, lowest=0.01, langevin=10, artefact=artefact)
    many = problem.sample(torch.arange(2).repeat_interleave(chains))
    *_, last = method(many, torch.Generator().manual_seed(0))
    assert last.uncertainty is not None
    means = last.state["mean"].reshape(2, chains, -1)
    within, between = last.uncertainty.deviation.reshape(2, chains, -1).square().mean(1), means.var(1)
    expected, variance = split_posterior(problem, rho)
    error, known = (means.mean(1) - expected).std(), (between.mean() / chains).sqrt()
    assert float(known) < 0.15 * float(expected.std())
    assert float(error) < 1.3 * float(known)
    assert float((within + between).mean() / variance.mean()) == pytest.approx(1, abs=0.08)


def test_the_posterior_mean_is_nearer_to_the_truth_than_the_prior(world: tuple[Problem, Path]) -> None:
    problem, _ = world
    truth, mean = worlds.movies(2, seed=4), worlds.spectrum().mean
    assert float(((posterior_mean(problem) - truth) ** 2).mean()) < 0.7 * float(((mean - truth) ** 2).mean())
