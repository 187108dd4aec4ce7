"""Worlds whose posterior is known by quadrature and not Gaussian: a mixture prior, a rectified quadratic encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from recon.encoders.base import Encoder, Spec, freeze
from recon.methods.artefacts import save_artefact
from recon.priors.base import Denoiser
from recon.priors.prior import PixelPrior
from recon.priors.spectrum import Spectrum, cosine_transform
from recon.problem.problem import Observation, Problem
from recon.types import Fidelity, Measurement

UNIT = 0.2
"""Standard deviation of a latent under the prior, about: the encoder's drive is a polynomial of latent / unit."""
REACH = 5.0
"""The quadrature ends so many standard deviations beyond the outermost modes."""
POINTS = {1: 2001, 2: 161, 3: 57}
"""Points of the quadrature along each axis, by the number of latents."""


@dataclass(frozen=True)
class GaussianModes:
    """Gaussian modes of d latents: `weights` `[K]`, `means` `[K,d]` and isotropic `deviations` `[K]`.

    A movie is mid-grey + basis·latents; `basis` `[C·T·H·W,d]` has orthonormal columns.
    """

    weights: Tensor
    means: Tensor
    deviations: Tensor
    basis: Tensor
    shape: tuple[int, int, int]

    def movies(self, latents: Tensor) -> Tensor:
        """Return the movies `[...,1,T,H,W]` of latents `[...,d]`."""
        flat = 0.5 + latents @ self.basis.T
        return flat.reshape(*latents.shape[:-1], 1, *self.shape).float()

    def latents(self, movie: Tensor) -> Tensor:
        """Return the latents `[...,d]` of movies `[...,1,T,H,W]`."""
        projected: Tensor = (movie.flatten(-4).double() - 0.5) @ self.basis
        return projected

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Return draws `[n,d]` of the prior."""
        mode = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        white = torch.randn(count, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[mode] + self.deviations[mode, None] * white

    def log_parts(self, latents: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        """Return log(weight · density) `[...,K]` of each mode at latents `[...,d]` under added `noise` `[...]`."""
        variance = self.deviations**2 + torch.as_tensor(noise, dtype=torch.float64)[..., None] ** 2
        square = (latents[..., None, :] - self.means).square().sum(-1)
        return self.weights.log() - square / (2 * variance) - variance.log() * self.means.shape[1] / 2


class MixtureDenoiser(Denoiser):
    """Exact denoiser: D(x,σ) = Σ rₖ(x,σ)·(mₖ + sₖ²/(sₖ²+σ²)·(z − mₖ)), z the latents of x, r the responsibilities.

    What is outside the latents' space is noise.
    """

    def __init__(self, modes: GaussianModes) -> None:
        super().__init__()
        self.modes = modes

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the posterior mean of the clean movie `[B,C,T,H,W]` at noise standard deviation `sigma` `[B]`."""
        known, z, noise = self.modes, self.modes.latents(x), sigma.double()
        share = known.log_parts(z, noise).softmax(-1)[..., None]
        gain = (known.deviations**2 / (known.deviations**2 + noise[:, None] ** 2))[..., None]
        return known.movies((share * (known.means + gain * (z[:, None] - known.means))).sum(1))


@dataclass(frozen=True)
class ModesPrior(PixelPrior):
    """The mixture as a prior of methods."""

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = False
    modes: GaussianModes = field(repr=False)

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> MixtureDenoiser:
        """Return the denoiser of movies `[B,C,T,H,W]`."""
        return MixtureDenoiser(self.modes)


class RectifiedQuadratic(Encoder):
    """Rates = max(0, offset + linear·u + uᵀ·quadratic·u), u = latents / unit: one neuron may respond to ±u alike.

    Not `curved`, rates are linear, far above zero.
    """

    def __init__(self, modes: GaussianModes, *, neurons: int, seed: int, curved: bool = True) -> None:
        super().__init__()
        self.modes = modes
        generator = torch.Generator().manual_seed(seed)
        frames, size = modes.shape[0], modes.means.shape[1]
        drawn = torch.randn(neurons * frames, 1 + size + size**2, generator=generator, dtype=torch.float64)
        self.offset, self.linear = 0.3 * drawn[:, 0] + 20.0 * (not curved), 0.5 * drawn[:, 1 : 1 + size]
        self.quadratic = 0.7 * curved * drawn[:, 1 + size :].reshape(-1, size, size)
        self.spec = Spec(modes.shape[1:], tuple(range(neurons)), context=(frames - 1, frames - 1))

    def of_latents(self, latents: Tensor) -> Tensor:
        """Return rates `[...,N·T]` of latents `[...,d]`."""
        u = latents / UNIT
        drive = self.offset + u @ self.linear.T + torch.einsum("...i,nij,...j->...n", u, self.quadratic, u)
        return drive.clamp_min(0)

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,C,T,H,W]`; behavior is ignored."""
        return self.of_latents(self.modes.latents(movie)).unflatten(-1, (-1, self.modes.shape[0])).float()


@dataclass(frozen=True)
class Quadrature:
    """Posteriors of B clips on a grid of latents: `points` `[G,d]`, probabilities `[B,G]`, `step` of the grid."""

    points: Tensor
    probability: Tensor
    step: float

    @property
    def mean(self) -> Tensor:
        """Posterior means `[B,d]`."""
        return self.probability @ self.points

    @property
    def variance(self) -> Tensor:
        """Posterior variances summed over latents, which is over pixels, `[B]`."""
        return self.probability @ self.points.square().sum(1) - self.mean.square().sum(1)

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Return exact draws `[B,n,d]`, up to a cell of the grid in which they are uniform."""
        cell = torch.multinomial(self.probability, count, replacement=True, generator=generator)
        within = torch.rand(*cell.shape, self.points.shape[1], generator=generator, dtype=torch.float64) - 0.5
        return self.points[cell] + self.step * within


@dataclass(frozen=True)
class MixtureWorld:
    """Clips drawn from the prior, the problem of their responses, their posteriors, and a prior for methods."""

    modes: GaussianModes
    encoder: RectifiedQuadratic
    noise: float
    truth: Tensor
    problem: Problem
    posterior: Quadrature
    artefact: Path

    @property
    def prior(self) -> ModesPrior:
        """The exact prior, as methods take it."""
        return ModesPrior(self.modes)


def modes_of(latents: int) -> GaussianModes:
    """Return three modes of 1, 2 or 3 latents: movies of two pixels for 2, else of two frames of 2 × 3 pixels."""
    generator = torch.Generator().manual_seed(17)
    shape = (1, 1, 2) if latents == 2 else (2, 2, 3)
    size = shape[0] * shape[1] * shape[2]
    basis = torch.eye(2).double() if latents == 2 else torch.randn(size, latents, generator=generator).double()
    corners = torch.tensor([[-1.0, 0.6, -0.4], [0.2, -1.0, 0.6], [1.0, 0.7, 0.5]], dtype=torch.float64)
    return GaussianModes(
        torch.tensor([0.45, 0.2, 0.35], dtype=torch.float64),
        0.22 * corners[:, :latents],
        torch.tensor([0.06, 0.04, 0.08], dtype=torch.float64),
        torch.linalg.qr(basis).Q,
        shape,
    )


def make_world(
    folder: Path, latents: int, *, noise: float, clips: int, seed: int = 0, neurons: int = 4, curved: bool = True
) -> MixtureWorld:
    """Draw clips from the prior and responses with Gaussian noise; integrate their posteriors on a grid."""
    modes, generator = modes_of(latents), torch.Generator().manual_seed(seed)
    encoder = freeze(RectifiedQuadratic(modes, neurons=neurons // modes.shape[0], seed=3, curved=curved))
    truth = modes.draws(clips, generator)
    rates = encoder.of_latents(truth)
    responses = rates + noise * torch.randn(rates.shape, generator=generator, dtype=torch.float64)
    shaped = responses.unflatten(-1, (-1, modes.shape[0])).float()
    every, none = torch.ones(shaped.shape[1]).bool(), torch.zeros(shaped.shape[1]).bool()
    seen = Measurement(shaped, None, every, none, torch.ones(clips, modes.shape[0]).bool())
    artefact = folder / f"spectrum-{latents}.safetensors"
    known = spectrum_of(modes)
    save_artefact({"power": known.power, "mean": known.mean}, artefact)
    problem = Problem(misfit_of(noise), (Observation(encoder, seen),))
    posterior = integrated(modes, encoder, responses, noise, POINTS[latents])
    return MixtureWorld(modes, encoder, noise, truth, problem, posterior, artefact)


def misfit_of(noise: float) -> Fidelity:
    """Return the misfit under Gaussian noise of this standard deviation."""

    def misfit(rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        return (0.5 * ((rates - responses) / noise) ** 2 * mask).flatten(1).sum(1)

    return misfit


def spectrum_of(modes: GaussianModes) -> Spectrum:
    """Return the spectrum of draws of the prior, as methods estimate it from training movies."""
    movie = modes.movies(modes.draws(4000, torch.Generator().manual_seed(5)))
    mean = movie.mean((0, 1, 2))
    power = cosine_transform(movie - mean).square().mean((0, 1)).clamp_min(1e-6)
    return Spectrum(power, mean)


def integrated(
    modes: GaussianModes, encoder: RectifiedQuadratic, responses: Tensor, noise: float, points: int
) -> Quadrature:
    """Return the posteriors for responses `[B,N·T]` on a cubic grid that holds the prior."""
    size = modes.means.shape[1]
    edge = float((modes.means.abs().amax(1) + REACH * modes.deviations).max())
    axis = torch.linspace(-edge, edge, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
    log_prior, rates = modes.log_parts(grid).logsumexp(-1), encoder.of_latents(grid)
    rows = [log_prior - 0.5 * ((rates - seen) / noise).square().sum(1) for seen in responses]
    return Quadrature(grid, torch.stack(rows).softmax(1), float(axis[1] - axis[0]))
