"""Functions of denoisers: text guidance, score, clean estimates, noise levels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds

from recon import config
from recon.errors import InputError
from recon.priors.base import Denoiser
from recon.priors.guidance import ClassifierFree, Guidance, falling, from_epsilon, from_flow, from_velocity, score
from recon.priors.spectrum import GaussianDenoiser, Spectrum, inverse_cosine_transform
from recon.priors.still_images import Still


class Told(Denoiser):
    """Estimates the mean of its condition everywhere, or 0 without one; counts its evaluations."""

    asked = 0

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        self.asked += 1
        return torch.zeros_like(x) if condition is None else torch.zeros_like(x) + condition.mean()


@pytest.mark.parametrize(("scale", "expected", "asked"), [(0.0, 0.0, 1), (1.0, 2.0, 1), (0.5, 1.0, 2), (3.0, 6.0, 2)])
def test_guidance_goes_from_no_text_to_the_text_and_beyond(scale: float, expected: float, asked: int) -> None:
    told = Told()
    x, sigma = torch.rand(2, 1, 3, 4, 4), torch.ones(2)
    found = ClassifierFree(told, scale)(x, sigma, torch.full((2, 5), 2.0))
    assert torch.allclose(found, torch.full_like(x, expected)) and told.asked == asked
    assert torch.equal(ClassifierFree(told, scale)(x, sigma), torch.zeros_like(x))


def test_a_number_guides_as_the_formula_says_bit_by_bit() -> None:
    """The estimate of a number, and of a guidance that is constant, is torch.lerp of the two estimates."""
    generator = torch.Generator().manual_seed(0)
    x, condition = (torch.randn(shape, generator=generator) for shape in ((2, 1, 3, 4, 4), (2, 5)))
    sigma = torch.tensor([0.3, 0.7])
    for scale in (0.3, 0.7, 2.5, -1.0):
        expected = torch.lerp(Told()(x, sigma), Told()(x, sigma, condition), scale)
        for guidance in (scale, Guidance(scale), Guidance(9.0, low=scale, between=(1.0, 1.0))):
            assert torch.equal(ClassifierFree(Told(), guidance)(x, sigma, condition), expected)


@pytest.mark.parametrize(
    ("guidance", "scales"),
    [
        (Guidance(3.0, between=(0.5, 2.0)), {0.1: 1.0, 0.5: 1.0, 1.0: 2.0, 2.0: 3.0, 9.0: 3.0}),
        (Guidance(3.0, low=0.0, between=(0.3, 0.3), until=2.0), {0.1: 0.0, 0.3: 0.0, 0.31: 3.0, 2.0: 3.0, 2.1: 0.0}),
        (Guidance(1.0, low=4.0, between=(0.1, 1.6)), {0.1: 4.0, 0.4: 2.5, 1.6: 1.0}),
        (Guidance(2.0, low=1.0, until=1.0), {0.01: 2.0, 1.0: 2.0, 1.1: 1.0}),
    ],
)
def test_the_scale_follows_the_noise_level(guidance: Guidance, scales: dict[float, float]) -> None:
    """The estimate is that of the scale's number, from as many evaluations as planned; also sample by sample."""
    x, condition = torch.rand(1, 1, 3, 4, 4), torch.full((1, 5), 2.0)
    for level, scale in scales.items():
        told, sigma = Told(), torch.tensor([level])
        found = ClassifierFree(told, guidance)(x, sigma, condition)
        assert torch.allclose(found, ClassifierFree(Told(), scale)(x, sigma, condition), atol=1e-6)
        assert told.asked == guidance.evaluations(level) == (1 if scale in (0.0, 1.0) else 2)
    many, each = torch.tensor(list(scales)), torch.tensor(list(scales.values())).reshape(-1, 1, 1, 1, 1)
    together = ClassifierFree(Told(), guidance)(x.expand(len(many), -1, -1, -1, -1), many, condition)
    assert torch.allclose(together, 2 * each.expand_as(together), atol=1e-5)


def test_guidance_by_place_is_the_scale_where_nothing_is_seen_and_another_where_all_is() -> None:
    unseen = torch.linspace(0, 1, 4).expand(2, 1, 1, 4, 4)
    x, sigma, condition = torch.rand(2, 1, 3, 4, 4), torch.ones(2), torch.full((2, 5), 2.0)
    found = ClassifierFree(Told(), Guidance(4.0, seen=1.0), unseen)(x, sigma, condition)
    assert torch.allclose(found, 2 * (1 + 3 * unseen).expand_as(x))
    for guidance, expected, asked in ((Guidance(1.0, seen=1.0), 2.0, 1), (Guidance(0.0, seen=1.0), 0.0, 1)):
        told = Told()
        assert torch.equal(ClassifierFree(told, guidance, unseen)(x, sigma, condition), torch.full_like(x, expected))
        assert told.asked == asked == guidance.evaluations(1.0)
    alone = ClassifierFree(Told(), Guidance(4.0, seen=1.0))(x, sigma, condition)
    assert torch.equal(alone, ClassifierFree(Told(), 4.0)(x, sigma, condition)), "without activity nothing is seen"


def test_guidance_is_declared_in_configurations() -> None:
    tree = {"name": "diffusion", "guidance": {"high": 3.0, "low": 0.5, "between": [0.4, 2.0], "seen": 1}}
    prior = config.build("prior", tree)
    assert prior.guidance == Guidance(3.0, 0.5, (0.4, 2.0), seen=1.0)
    assert config.expand({"denoiser": prior})["denoiser"] == {
        **tree,
        "guidance": {**tree["guidance"], "between": [0.4, 2.0]},
    }
    for wrong in ({"between": [2.0, 0.4]}, {"between": [0.4, 2.0], "until": 1.0}, {"between": [0.4]}, {"until": -1.0}):
        with pytest.raises(InputError, match=r"guidance.*expected"):
            config.build("prior", {"name": "diffusion", "guidance": {"high": 3.0, **wrong}})


def test_guidance_encodes_and_decodes_as_its_denoiser_does() -> None:
    movie, guided = torch.rand(1, 1, 3, 4, 4), ClassifierFree(Told(), 2.0)
    assert torch.equal(guided.encode(movie), movie) and torch.equal(guided.decode(movie), movie)


def test_the_score_is_the_gradient_of_the_noisy_movies_density() -> None:
    """Tweedie's formula for a Gaussian, against automatic differentiation in float64."""
    known, sigma = worlds.spectrum(), torch.tensor([0.1, 0.7], dtype=torch.float64)
    power, mean = known.power.double(), known.mean.double()
    size = power.numel()
    basis = inverse_cosine_transform(torch.eye(size, dtype=torch.float64).reshape(size, *power.shape)).reshape(size, -1)
    x = torch.rand(2, 1, *power.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_(True)
    total = torch.zeros((), dtype=torch.float64)
    for sample, level in zip(x, sigma, strict=True):
        covariance = basis.T @ torch.diag(power.flatten() + level**2) @ basis
        centre = mean.expand(power.shape).flatten()
        total = total + torch.distributions.MultivariateNormal(centre, covariance).log_prob(sample.flatten())
    (expected,) = torch.autograd.grad(total, x)
    denoiser = GaussianDenoiser(type(known)(power, mean))
    assert torch.allclose(score(denoiser, x.detach(), sigma), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("signal", "noise"), [(0.9, 0.436), (0.3, 0.954), (1.0, 2.0)])
def test_every_prediction_gives_the_clean_movie_back(signal: float, noise: float) -> None:
    generator = torch.Generator().manual_seed(1)
    clean, drawn = (torch.randn(2, 1, 3, 4, 4, generator=generator) for _ in range(2))
    a, b = torch.tensor(signal), torch.tensor(noise)
    x = a * clean + b * drawn
    assert torch.allclose(from_epsilon(x, drawn, signal=a, noise=b), clean, atol=1e-5)
    assert torch.allclose(from_velocity(x, a * drawn - b * clean, signal=a, noise=b), clean, atol=1e-5)
    time = b / (a + b)
    mixed = (1 - time) * clean + time * drawn
    assert torch.allclose(from_flow(mixed, drawn - clean, time=time), clean, atol=1e-5)


def test_levels_fall_by_equal_factors() -> None:
    levels = torch.tensor(falling(5, 2.0, 0.1))
    assert torch.allclose(levels[1:] / levels[:-1], torch.full((4,), (0.1 / 2) ** 0.25))
    assert falling(1, 2.0, 0.1) == [pytest.approx(0.1)]
    for wrong in ((0, 1.0, 0.1), (3, 0.1, 1.0), (3, 1.0, 0.0)):
        with pytest.raises(ValueError, match="levels: expected at least 1, decreasing to above 0"):
            falling(*wrong)


def test_a_still_is_denoised_as_the_mean_of_a_movie_that_does_not_move() -> None:
    """With the spectrum of static movies, this is the exact denoiser of their images."""
    frames, power = 6, 1 / (1 + torch.arange(4.0)[:, None] + torch.arange(5.0)[None])
    still = torch.full((frames, 4, 5), 1e-9)
    still[0] = frames * power  # orthonormal transform of a temporal constant
    known = Spectrum(power[None], torch.zeros(4, 5))
    movies = GaussianDenoiser(Spectrum(still, torch.zeros(4, 5)))
    x = torch.randn(2, 1, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.3, 1.0])
    found = Still(movies, frames=frames)(x, sigma)
    assert torch.allclose(found, GaussianDenoiser(known)(x, sigma), atol=1e-4)
    assert torch.equal(found, Still(movies, frames=frames)(x, sigma))
    several = Still(movies, frames=frames)(torch.cat([x, x.flip(0)], 2), sigma)
    assert torch.allclose(several[:, :, :1], found, atol=1e-6)
