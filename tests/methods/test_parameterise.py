"""Every parameterisation fits a given movie, and its gradient is true."""

import pytest
import torch

from recon.methods.optimise.parameterise import Pixels, Pyramid, Whitened, power_law
from recon.priors.spectrum import Spectrum

SHAPE = (2, 1, 5, 8, 12)


def build(name: str):
    return {
        "pixels": lambda: Pixels(SHAPE),
        "pyramid": lambda: Pyramid(SHAPE),
        "whitened": lambda: Whitened(SHAPE, power_law(SHAPE)),
    }[name]()


@pytest.mark.parametrize("name", ["pixels", "pyramid", "whitened"])
def test_fits_a_given_movie(name: str) -> None:
    movie = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    parameterisation = build(name)
    parameterisation.fit(movie)
    assert torch.allclose(parameterisation(), movie, atol=1e-5)


@pytest.mark.parametrize("name", ["pixels", "pyramid", "whitened"])
def test_gradient_is_true_and_samples_are_independent(name: str) -> None:
    parameterisation = build(name).double()
    parameterisation.fit(torch.rand(SHAPE, dtype=torch.float64))
    (gradient,) = torch.autograd.grad((parameterisation()[0] ** 2).sum(), parameterisation.variable)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


def test_whitened_prior_is_the_gaussians() -> None:
    spectrum = power_law(SHAPE)
    parameterisation = Whitened(SHAPE, spectrum)
    parameterisation.variable.data = torch.ones(SHAPE)
    assert torch.allclose(parameterisation.prior(), torch.full((2,), 0.5 * 5 * 8 * 12))
    assert torch.equal(Pixels(SHAPE).prior(), torch.zeros(2))


def test_pixels_are_projected_to_the_range() -> None:
    pixels = Pixels(SHAPE)
    assert float(pixels.project(torch.full(SHAPE, 1.4)).max()) == 1.0


def test_a_spectrum_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected frames × height × width"):
        Whitened(SHAPE, Spectrum(torch.ones(4, 8, 12), torch.zeros(8, 12)))
