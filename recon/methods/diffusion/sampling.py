"""What samplers share: the way down the noise levels, alone or pulled by the misfit's gradient in the noisy movie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recon.encoders.base import device_of
from recon.priors.base import Denoiser
from recon.priors.guidance import falling
from recon.problem.problem import Problem

Step = tuple[int, float, float]


Progress = Callable[[Iterable[Step]], Iterable[Step]]


GREY = 0.5


class Pull(NamedTuple):
    """The clean estimate and movie `[B,C,T,H,W]` of a noisy one, the misfit `[B]` and its gradient in the noisy one."""

    clean: Tensor
    movie: Tensor
    misfit: Tensor
    gradient: Tensor


def pulled(
    problem: Problem, denoiser: Denoiser, x: Tensor, sigma: Tensor, condition: Tensor | None, *, strength: float = 1.0
) -> Pull:
    """Return what a denoiser makes of x and where activity pulls x: the encoder's pull times the denoiser's Jacobian.

    The encoder is differentiated window by window in the movie, the denoiser once, as a vector–Jacobian product. Where
    nothing comes of the pull, with a `strength` of 0, no encoder is asked and it is 0.
    """
    if strength:
        return _pulled(problem, denoiser, x, sigma, condition)
    clean = denoiser(x, sigma, condition).detach()
    return Pull(clean, denoiser.decode(clean), x.new_zeros(len(x)), torch.zeros_like(x))


@torch.enable_grad()
def _pulled(problem: Problem, denoiser: Denoiser, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Pull:
    leaf = x.detach().requires_grad_(True)
    clean = denoiser(leaf, sigma, condition)
    movie = denoiser.decode(clean)
    misfit, pull = problem.value_and_gradient(movie.detach())
    (gradient,) = torch.autograd.grad(movie, leaf, pull)
    return Pull(clean.detach(), movie.detach(), misfit, gradient)


def steps_down(levels: int, highest: float, lowest: float, *, done: int = 0) -> Iterator[tuple[int, float, float]]:
    """Yield (number from 1, σ, next σ) of what is left to do; the last step goes to 0.

    >>> list(steps_down(2, 1.0, 0.1))
    [(1, 1.0, 0.1), (2, 0.1, 0.0)]
    """
    down = [*falling(levels, highest, lowest), 0.0]
    yield from ((step, down[step - 1], down[step]) for step in range(done + 1, levels + 1))


class Level(NamedTuple):
    """What a step down leaves behind: its number from 1, the next σ, the clean estimate, and x at the next σ."""

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
    """Yield every level of a draw from the prior itself, down `steps` of `steps_down`.

    A share `noise` of what is due is drawn anew: 0 is deterministic (DDIM), 1 ancestral (DDPM).
    """
    for step, now, then in steps:
        clean = denoiser(x, x.new_full((len(x),), now), condition)
        x = renoised(x, clean, (now, then), noise=noise * ancestral(now, then), generator=generator)
        yield Level(step, then, clean, x)


def noise_around(denoiser: Denoiser, movie: Tensor, level: float, *, generator: torch.Generator) -> Tensor:
    """Return where a sampler starts: a movie `[B,C,T,H,W]`, encoded, under noise of standard deviation `level`."""
    start = denoiser.encode(movie)
    return start + level * torch.randn(start.shape, generator=generator).to(start)


def renoised(
    x: Tensor, clean: Tensor, sigmas: tuple[float, float], *, noise: float, generator: torch.Generator
) -> Tensor:
    """Return x at the next of two noise levels: a share `noise` of its noise is drawn anew, the rest is kept.

    0 is deterministic (DDIM: Song, Meng & Ermon 2021, in the variable of Karras et al. 2022), 1 draws all of it. The
    same share s at each of many levels leaves (1 + √(1 − s²)) / 2 of a Gaussian's variance: half of it for s = 1; the
    `ancestral` share leaves all.
    """
    now, then = sigmas
    kept = (1 - noise**2) ** 0.5 * (x - clean) / now
    moved: Tensor = clean + then * (kept + noise * torch.randn(x.shape, generator=generator).to(x))
    return moved


def ancestral(now: float, then: float) -> float:
    """Return the share of the next level's noise that is drawn anew on the way back through the noise process.

    Of x(now) and the clean movie, x(then) is Gaussian around clean + (then/now)²·(x − clean) with variance
    then²·(1 − then²/now²) (Ho, Jain & Abbeel 2020).

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
    """Return movies `[B,1,T,H,W]` in [0,1] drawn from a prior: from grey under the first σ of `steps` down to none."""
    grey = torch.full(tuple(shape), GREY, device=device_of(denoiser))
    clean = x = noise_around(denoiser, grey, steps[0][1], generator=generator)
    for level in unguided(denoiser, x, condition, progress(steps), noise=noise, generator=generator):
        clean = level.clean
    return denoiser.decode(clean).float().clamp(0, 1)
