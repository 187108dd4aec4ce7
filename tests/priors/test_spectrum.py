"""Cosine spectrum: transform, estimate, denoiser."""

import pytest
import torch
from scipy.fft import dctn

from recon.priors.energies import out_of_range, temporal_smoothness, total_variation, weighted_energies
from recon.priors.spectrum import (
    GaussianDenoiser,
    Spectrum,
    cosine_transform,
    estimate_spectrum,
    inverse_cosine_transform,
)


def draw(spectrum: Spectrum, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(count, *spectrum.power.shape, generator=generator)
    return spectrum.mean + inverse_cosine_transform(spectrum.power.sqrt() * white)


@pytest.fixture
def spectrum() -> Spectrum:
    t, y, x = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), torch.arange(7.0), indexing="ij")
    return Spectrum(1 / (1 + t**2 + y**2 + x**2), torch.full((5, 7), 0.4))


def test_transform_is_scipys_orthonormal_one() -> None:
    movie = torch.randn(2, 1, 6, 5, 7)
    ours = cosine_transform(movie)
    assert torch.allclose(ours, torch.from_numpy(dctn(movie.numpy(), axes=(2, 3, 4), norm="ortho")), atol=1e-5)
    assert torch.allclose(inverse_cosine_transform(ours), movie, atol=1e-5)


def test_inverse_is_the_adjoint() -> None:
    a, b = torch.randn(2, 6, 5, 7).unbind(0)
    assert torch.allclose((cosine_transform(a) * b).sum(), (a * inverse_cosine_transform(b)).sum(), atol=1e-4)


def test_estimate_recovers_a_known_spectrum(spectrum: Spectrum) -> None:
    estimate = estimate_spectrum(draw(spectrum, 4000))
    inner = (estimate.power / spectrum.power)[1:-1, 1:-1, 1:-1]
    assert 0.85 < float(inner.median()) < 1.15
    assert torch.allclose(estimate.mean, spectrum.mean, atol=0.05)


def test_estimate_refuses_a_single_clip(spectrum: Spectrum) -> None:
    with pytest.raises(ValueError, match="at least 2 training clips, got 1"):
        estimate_spectrum(draw(spectrum, 1))


def test_denoiser_obeys_tweedie(spectrum: Spectrum) -> None:
    """D(x,σ) = x + σ²·∇log p_σ(x) (Efron 2011); p_σ is the Gaussian with power P + σ²."""
    x = draw(spectrum, 3)[:, None].double().requires_grad_(True)
    exact = spectrum.to(torch.device("cpu"), torch.float64)
    sigma = torch.tensor([0.1, 0.7, 3.0], dtype=torch.float64)
    variance = exact.power + sigma.reshape(-1, 1, 1, 1, 1) ** 2
    log_p = -0.5 * (cosine_transform(x - exact.mean) ** 2 / variance).sum()
    (score,) = torch.autograd.grad(log_p, x)
    expected = x + sigma.reshape(-1, 1, 1, 1, 1) ** 2 * score
    assert torch.allclose(GaussianDenoiser(exact)(x, sigma), expected, atol=1e-8)


def test_pixel_denoiser_encodes_by_identity_and_refuses_text(spectrum: Spectrum) -> None:
    denoiser, movie = GaussianDenoiser(spectrum), torch.rand(1, 1, 6, 5, 7)
    assert denoiser.decode(denoiser.encode(movie)) is movie
    with pytest.raises(ValueError, match="takes no text"):
        denoiser.embed(["a cat"])


@pytest.mark.parametrize("energy", [total_variation, temporal_smoothness, out_of_range])
def test_energies_have_true_gradients_and_independent_samples(energy) -> None:
    movie = (torch.rand(2, 1, 3, 4, 5, dtype=torch.float64) * 1.6 - 0.3).requires_grad_(True)
    assert torch.autograd.gradcheck(energy, movie)
    together = energy(movie)
    assert torch.allclose(together, torch.cat([energy(sample[None]) for sample in movie]))


def test_unknown_energy_is_named() -> None:
    with pytest.raises(ValueError, match="total_variaton"):
        weighted_energies(torch.zeros(1, 1, 2, 2, 2), {"total_variaton": 1.0})
