"""A linear–Gaussian world whose posterior mean is a ten-line solve; methods are measured against it."""

from pathlib import Path

import pytest
import torch
import worlds

from priors.spectrum import inverse_cosine_transform
from recon.artefacts import save_artefact
from recon.methods import Gradient
from recon.methods.lbfgs import Lbfgs
from recon.methods.optimisers import Adam
from recon.problem import Observation, Problem


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


def test_the_posterior_mean_is_nearer_to_the_truth_than_the_prior(world: tuple[Problem, Path]) -> None:
    problem, _ = world
    truth, mean = worlds.movies(2, seed=4), worlds.spectrum().mean
    assert float(((posterior_mean(problem) - truth) ** 2).mean()) < 0.7 * float(((mean - truth) ** 2).mean())
