"""Coverage of the screen by a population: Fisher information about each pixel, and the share that it leaves unseen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recon.encoders.base import Encoder, device_of
from recon.priors.spectrum import Spectrum, inverse_cosine_transform
from recon.problem.memory import in_portions
from recon.problem.problem import Problem

FRAMES, PROBES = 45, 4
"""Frames of the movie at which coverage is measured, and random sign patterns."""
POINTS = torch.logspace(-9, 5, 71)
"""Information at which the share is computed, in units of the inverse variance of pixels."""


@torch.enable_grad()
def fisher_information(
    encoder: Encoder,
    movie: Tensor,
    behavior: Tensor | None,
    *,
    neurons: Tensor,
    generator: torch.Generator,
    probes: int,
) -> Tensor:
    """Return Σ_{n,t} (∂r_n(t)/∂pixel)² / r_n(t) `[B,T,H,W]` of Poisson responses, for movies `[B,C,T,H,W]`.

    Estimated without a loop over neurons: for `probes` patterns of random signs ε, the squared gradient of Σ ε·r/√r̄ has
    this expectation (Hutchinson 1989). All samples have the same signs.
    """
    device = device_of(encoder)
    leaf = movie.detach().to(device).requires_grad_(True)
    rates = encoder(leaf, None if behavior is None else behavior.to(device))[:, neurons.to(device)]
    known = rates.detach()
    lowest = 1e-3 * known.abs().mean((1, 2), keepdim=True).clamp_min(1e-9)
    scaled = rates / torch.maximum(known, lowest).sqrt()
    total = torch.zeros_like(leaf[:, 0])
    for _ in range(probes):
        signs = torch.randint(0, 2, scaled[:1].shape, generator=generator).to(scaled) * 2 - 1
        (gradient,) = torch.autograd.grad((signs * scaled).sum(), leaf, retain_graph=True)
        total += gradient.square().sum(1) / probes
    return total.detach()


def unseen_share(problem: Problem, spectrum: Spectrum) -> Tensor:
    """Return the share `[B,1,1,H,W]` of the variance of movies that the activity would leave at each pixel.

    1 where no *fit* neuron sees, near 0 where many do. A Gaussian movie with spectrum P of which every pixel were known
    with precision I keeps mean P/(1 + I·P) of its variance, mean P. I is the information of Poisson responses about
    the pixel, at a movie drawn from `spectrum` and the behavior of the clip; the responses are not read.
    """
    batch, channels, frames, *size = problem.shape
    white = torch.randn(spectrum.power.shape, generator=torch.Generator().manual_seed(0)).to(spectrum.power)
    drawn = (spectrum.mean + inverse_cosine_transform(spectrum.power.sqrt() * white)).clamp(0, 1)
    movie = drawn[:FRAMES].expand(batch, channels, min(frames, FRAMES), *size)
    (information,) = in_portions(problem, problem.shown(movie), lambda part, piece: (_information(part, piece),))
    if problem.mask is not None:
        information = information * problem.mask
    return _left(information, spectrum.power)[:, None, None]


def _information(problem: Problem, movie: Tensor) -> Tensor:
    """Return the information `[B,H,W]` of all observations about a frame's pixels, averaged over frames."""
    total = torch.zeros_like(movie[:, 0, 0])
    for seen in problem.observations:
        behavior = seen.measurement.behavior
        problem.meter.count(movie)
        found = fisher_information(
            seen.encoder,
            movie,
            None if behavior is None else behavior[..., : movie.shape[2]],
            neurons=seen.measurement.neurons,
            generator=torch.Generator().manual_seed(0),
            probes=PROBES,
        )
        total += seen.weight * found.mean(1).to(total)
    return total


def _left(information: Tensor, power: Tensor) -> Tensor:
    """Return mean P/(1 + I·P) / mean P of a power P, for every information I; read from its curve over ln I."""
    typical = float(power.mean())
    points = POINTS / typical
    curve = [float((power / (1 + point * power)).mean()) / typical for point in points.tolist()]
    logarithms = information.clamp_min(float(points[0])).log().cpu().numpy()
    found = np.interp(logarithms, points.log().numpy(), curve)
    return torch.from_numpy(found).to(information)
