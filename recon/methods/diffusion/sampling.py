"""Sampling steps shared by diffusion methods, unguided or guided by the gradient of the misfit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recon.encoders.base import device_of
from recon.priors.base import Denoiser
from recon.priors.guidance import falling
from recon.problem.problem import Problem
from recon.types import State

Step = tuple[int, float, float]


Progress = Callable[[Iterable[Step]], Iterable[Step]]


GREY = 0.5


class Pull(NamedTuple):
    """Clean estimate and movie `[B,C,T,H,W]` of a noisy x, misfit `[B]` if evaluated, and its gradient in x."""

    clean: Tensor
    movie: Tensor
    misfit: Tensor | None
    gradient: Tensor


def pulled(
    problem: Problem, denoiser: Denoiser, x: Tensor, sigma: Tensor, condition: Tensor | None, *, strength: float = 1.0
) -> Pull:
    """Return the denoised estimate of x and the gradient of its misfit: encoder gradient × Jacobian of the denoiser.

    The encoder is differentiated window by window in the movie, the denoiser once, as a vector–Jacobian product. With a
    `strength` of 0 the encoder is not evaluated; misfit and gradient are 0.
    """
    if strength:
        return _pulled(problem, denoiser, x, sigma, condition)
    clean = denoiser(x, sigma, condition).detach()
    return Pull(clean, denoiser.decode(clean), None, torch.zeros_like(x))


@torch.enable_grad()
def _pulled(problem: Problem, denoiser: Denoiser, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Pull:
    leaf = x.detach().requires_grad_(True)
    clean = denoiser(leaf, sigma, condition)
    movie = denoiser.decode(clean)
    misfit, pull = problem.value_and_gradient(movie.detach())
    (gradient,) = torch.autograd.grad(movie, leaf, pull)
    return Pull(clean.detach(), movie.detach(), misfit, gradient)


def terms_of(problem: Problem, pull: Pull, movie: Tensor | None) -> dict[str, Tensor]:
    """Return the misfit of the pull's movie, or of another `movie` (one evaluation), and the pull's gradient norm.

    A pull of strength 0 has no misfit.
    """
    misfit = pull.misfit if movie is None else problem.energy(movie)
    known = {} if misfit is None else {"misfit": misfit}
    return known | {"gradient_norm": pull.gradient.flatten(1).norm(dim=1)}


def steps_down(levels: int, highest: float, lowest: float, *, done: int = 0) -> Iterator[tuple[int, float, float]]:
    """Yield the steps (number from 1, σ, next σ) after the first `done`; the last goes to σ = 0.

    >>> list(steps_down(2, 1.0, 0.1))
    [(1, 1.0, 0.1), (2, 0.1, 0.0)]
    """
    down = [*falling(levels, highest, lowest), 0.0]
    yield from ((step, down[step - 1], down[step]) for step in range(done + 1, levels + 1))


class Level(NamedTuple):
    """Result of a step: its number from 1, the next σ, the denoised estimate, and x at the next σ."""

    step: int
    then: float
    clean: Tensor
    x: Tensor


@torch.no_grad()
def unguided(
    denoiser: Denoiser,
    x: Tensor,
    condition: Tensor | None,
    steps: Iterable[tuple[int, float, float]],
    *,
    noise: float,
    generator: torch.Generator,
) -> Iterator[Level]:
    """Yield every level of an unguided sample of the prior, along the `steps` of `steps_down`.

    `noise` is the stochasticity: 0 is deterministic (DDIM), 1 ancestral (DDPM).
    """
    for step, now, then in steps:
        clean = denoiser(x, x.new_full((len(x),), now), condition)
        x = renoised(x, clean, (now, then), noise=noise * ancestral(now, then), generator=generator)
        yield Level(step, then, clean, x)


def noise_around(denoiser: Denoiser, movie: Tensor, level: float, *, generator: torch.Generator) -> Tensor:
    """Return the start of a sampler: a movie `[B,C,T,H,W]`, encoded, plus noise of standard deviation `level`."""
    start = denoiser.encode(movie)
    return start + level * torch.randn(start.shape, generator=generator).to(start)


def begin(
    denoiser: Denoiser, movie: Callable[[], Tensor], state: State | None, *, level: float, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Return the noisy variable and the number of finished levels: from `state`, or 0 with `movie` under `level`."""
    if state:
        return state["variable"], int(state["step"])
    return noise_around(denoiser, movie(), level, generator=generator), 0


def renoised(
    x: Tensor, clean: Tensor, sigmas: tuple[float, float], *, noise: float, generator: torch.Generator
) -> Tensor:
    """Return x at the next of two noise levels: a fraction `noise` of its noise is fresh, the rest is carried over.

    0 is deterministic (DDIM: Song, Meng & Ermon 2021, in the variable of Karras et al. 2022); 1 makes all noise fresh.
    A constant fraction s over many levels leaves (1 + √(1 − s²)) / 2 of a Gaussian's variance: half of it for s = 1.
    The `ancestral` fraction preserves the variance.
    """
    now, then = sigmas
    kept = (1 - noise**2) ** 0.5 * (x - clean) / now
    moved: Tensor = clean + then * (kept + noise * torch.randn(x.shape, generator=generator).to(x))
    return moved


def ancestral(now: float, then: float) -> float:
    """Return the fraction of fresh noise at the next level under the reverse diffusion process.

    Given x(now) and the clean movie, x(then) is Gaussian around clean + (then/now)²·(x − clean) with variance then²·(1
    − then²/now²) (Ho, Jain & Abbeel 2020).

    >>> round(ancestral(2.0, 1.0) ** 2, 3), ancestral(1.0, 0.0)
    (0.75, 1.0)
    """
    return float((1 - (then / now) ** 2) ** 0.5)


def unit(gradient: Tensor) -> Tensor:
    """Return each sample's gradient with L2 norm 1."""
    norm = gradient.flatten(1).norm(dim=1).reshape(-1, *[1] * (gradient.dim() - 1))
    one: Tensor = gradient / (norm + 1e-6)
    return one


@torch.no_grad()
def drawn(
    denoiser: Denoiser,
    condition: Tensor | None,
    shape: Sequence[int],
    steps: Sequence[Step],
    *,
    generator: torch.Generator,
    noise: float = 0.0,
    progress: Progress = iter,
) -> Tensor:
    """Return movies `[B,1,T,H,W]` in [0,1] sampled from a prior, from grey plus noise at the first σ of `steps`."""
    grey = torch.full(tuple(shape), GREY, device=device_of(denoiser))
    clean = x = noise_around(denoiser, grey, steps[0][1], generator=generator)
    for level in unguided(denoiser, x, condition, progress(steps), noise=noise, generator=generator):
        clean = level.clean
    return denoiser.decode(clean).float().clamp(0, 1)
