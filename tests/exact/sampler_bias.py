"""How far samplers with a denoiser are from the posterior that they approximate, where it is known in closed form.

    python tests/exact/sampler_bias.py [--draws 64] [--only dps]

A linear encoder, Gaussian noise, movies of a Gaussian with a known spectrum and its exact (Wiener) denoiser; prints a
table for responses that say little and one for responses that say much, in about four minutes of one thread. Measured
is what a sampler works on, before it is clipped to [0,1].
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from recon.methods import DiffPir, Dps, Egg, PlugAndPlay, RedDiff, SplitGibbs
from recon.methods.artefacts import save_artefact
from recon.methods.base import Method
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.lbfgs import Lbfgs
from recon.metrics.coverage import interval_coverage
from recon.priors.spectrum import cosine_transform, inverse_cosine_transform
from recon.problem.problem import Observation, Problem
from recon.types import Fidelity

sys.path.insert(0, str(Path(__file__).parents[1]))

worlds: Any = importlib.import_module("worlds.linear")

WEAK, SHARP = 1.0, 0.2
"""Standard deviation of the responses' noise: that of the test world, and one with which they say 25 times as much."""
EXTREME = 20
"""So many of the most constrained directions are averaged, and ten times as many, of which nothing is said."""


def gaussian(noise: float) -> Fidelity:
    """Return the misfit under Gaussian noise of this standard deviation."""

    def misfit(rates: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        return (0.5 * ((rates - responses) / noise) ** 2 * mask).flatten(1).sum(1)

    return misfit


@dataclass(frozen=True)
class World:
    """A problem and its posterior: the mean in whitened coefficients `[B,D]`, and variances 1 / (1 + `information`).

    Along `directions` `[D,D]`, from the least to the most constrained; the prior's variance is 1 in all of them.
    """

    problem: Problem
    artefact: Path
    mean: Tensor
    directions: Tensor
    information: Tensor

    @property
    def total(self) -> float:
        """Variance of the posterior, summed over pixels."""
        power = worlds.spectrum().power.flatten().double()
        return float((power[:, None] * self.directions**2 / (1 + self.information)).sum())

    def draws(self, count: int) -> Tensor:
        """Return exact draws `[B,n,1,1,T,H,W]` of the posterior."""
        generator = torch.Generator().manual_seed(8)
        white = torch.randn(len(self.mean), count, self.mean.shape[1], generator=generator, dtype=torch.float64)
        return movies(self.mean[:, None] + (white / (1 + self.information).sqrt()) @ self.directions.T)[:, :, None]


def make_world(folder: Path, *, noise: float, clips: int = 4) -> World:
    """Draw movies from the prior, unclipped, and responses to them; solve for the posterior."""
    known, encoder, artefact = worlds.spectrum(), worlds.encoder(link="identity"), folder / "spectrum.safetensors"
    save_artefact({"power": known.power, "mean": known.mean}, artefact)
    size = known.power.numel()
    movie = movies(torch.randn(clips, size, generator=torch.Generator().manual_seed(4)))
    rates, seen = encoder(movie), worlds.measurement(movie, link="identity")
    seen = replace(seen, responses=rates + noise * (seen.responses - rates))
    offset = encoder(movies(torch.zeros(1, size)))
    columns = (encoder(movies(torch.eye(size))) - offset)[:, seen.neurons]
    jacobian = columns.flatten(1).T.double() / noise
    residual = (seen.responses - offset)[:, seen.neurons].flatten(1).double() / noise
    information, directions = torch.linalg.eigh(jacobian.T @ jacobian)
    information = information.clamp_min(0)
    mean = (residual @ jacobian @ directions / (1 + information)) @ directions.T
    problem = Problem(gaussian(noise), (Observation(encoder, seen),))
    return World(problem, artefact, mean, directions, information)


def movies(whitened: Tensor) -> Tensor:
    """Return the movies `[...,1,T,H,W]` of whitened coefficients `[...,D]`."""
    known = worlds.spectrum()
    shaped = whitened.float().reshape(*whitened.shape[:-1], 1, *known.power.shape)
    movie: Tensor = known.mean + inverse_cosine_transform(known.power.sqrt() * shaped)
    return movie


def whitened(movie: Tensor) -> Tensor:
    """Return the coefficients `[...,D]` of movies `[...,1,T,H,W]`, 1 being the prior's standard deviation."""
    known = worlds.spectrum()
    coefficients: Tensor = cosine_transform(movie - known.mean) / known.power.sqrt()
    return coefficients.flatten(-4).double()


@dataclass(frozen=True)
class Bias:
    """What is wrong with a sampler's draws.

    `mean` is the distance of their mean from the posterior mean over the posterior's standard deviation (the roots of
    squares and of variances, summed over pixels), without what finitely many draws add to it; `error` is one standard
    error of that, upwards, by leaving out runs.
    `spread` is their standard deviation over the posterior's: of all pixels, then in the `most` and the `least`
    constrained directions. `coverage` is the share of exact posterior draws inside the central 90 % intervals of
    pixels, `outside` that of pixels that clipping to [0,1] would change.
    """

    mean: float
    error: float
    spread: float
    most: float
    least: float
    coverage: float
    outside: float


def drawn(world: World, method: Method, count: int, *, key: str = "variable", every: int = 0) -> Tensor:
    """Return draws `[B,n,k,1,T,H,W]`: the last of each of n runs, or one in `every` of them after the burn-in."""
    each = world.problem.sample(torch.arange(len(world.mean)).repeat_interleave(count))
    found = [torch.zeros(0)]
    for number, iterate in enumerate(method(each, torch.Generator().manual_seed(0)), 1):
        found[0] = iterate.state[key]
        if every and iterate.uncertainty is not None and number % every == 0:
            found.append(iterate.state[key])
    kept = torch.stack(found[1:] or found, 1)
    return kept.reshape(len(world.mean), count, *kept.shape[1:])


def square_of_mean(off: Tensor) -> tuple[float, float]:
    """Return the square of the mean over n independent draws `[B,n,D]`, averaged over B, and its standard error.

    Products of different draws have no noise in their mean: Σ_{i≠j} ⟨i,j⟩ / n(n−1); the error is the jackknife's.
    """
    count = off.shape[1]
    pairs = off @ off.mT * (1 - torch.eye(count, dtype=off.dtype))
    total = pairs.sum((1, 2)).mean()
    without = (total - 2 * pairs.sum(2).mean(0)) / ((count - 1) * (count - 2))
    error = ((count - 1) ** 2 / count * without.var(correction=1)).sqrt()
    return max(float(total) / (count * (count - 1)), 0.0), float(error)


def bias(world: World, draws: Tensor) -> Bias:
    """Return what is wrong with draws `[B,n,k,1,T,H,W]`, k dependent ones of each of n independent runs."""
    runs, every = draws.double().flatten(3), draws.flatten(1, 2)
    square, deviation = square_of_mean(runs.mean(2) - movies(world.mean).double().flatten(1)[:, None])
    along = (whitened(every) @ world.directions).var(1).mean(0) * (1 + world.information)
    shown = {"movie": every.mean(1), "deviation": every.std(1), "draws": every.shape[1]}
    covered = [interval_coverage(truth=truth[:, 0], **shown) for truth in world.draws(200).unbind(1)]
    return Bias(
        mean=square**0.5 / world.total**0.5,
        error=((square + deviation) ** 0.5 - square**0.5) / world.total**0.5,
        spread=float(runs.flatten(1, 2).var(1).sum(1).mean() / world.total) ** 0.5,
        most=float(along[-EXTREME:].mean().sqrt()),
        least=float(along[: 10 * EXTREME].mean().sqrt()),
        coverage=float(torch.stack(covered).mean()),
        outside=float(((draws < 0) | (draws > 1)).float().mean()),
    )


def egg_scales() -> Iterator[tuple[Literal["published", "constant"], int, float]]:
    """Yield step, levels and scale of the rows of EGG: scales around the best for precise responses, and ten times."""
    constant = {20: (0.3, 0.45, 0.6), 50: (0.1, 0.15, 0.2, 0.25, 0.3, 2.0), 200: (0.03, 0.04, 0.05, 0.06)}
    published = {20: (0.6, 0.8, 1.0), 50: (0.2, 0.3, 0.35, 0.4, 0.5, 3.5), 200: (0.05, 0.07, 0.09)}
    for levels in (20, 50, 200):
        yield from (("constant", levels, scale) for scale in constant[levels])
        yield from (("published", levels, scale) for scale in published[levels])


def cases(world: World, draws: int) -> Iterator[tuple[str, Method, dict[str, Any]]]:
    """Yield the name of a row, its method and how it is drawn from; the noise starts above the prior's largest."""
    known: dict[str, Any] = {"artefact": world.artefact}
    high, one = {"highest": 4.0} | known, {"count": 3}
    many = {"count": draws}
    for step, levels, scale in egg_scales():
        yield f"egg, {levels} levels, {step} {scale:g}", Egg(levels=levels, scale=scale, step=step, **high), many
    yield "dps, 50 levels, from noise 1 (default)", Dps(**known), many
    for levels, noise in ((20, 0.5), (50, 0.5), (200, 0.5), (200, 0.0), (200, 1.0)):
        yield f"dps, {levels} levels, noise {noise:g}", Dps(levels=levels, noise=noise, **high), many
    for levels in (10, 30):
        for kind in ("spectrum", "white"):
            for noise in (0.0, 1.0):
                name = f"diffpir, {levels} levels, {kind}, noise {noise:g}"
                yield name, DiffPir(levels=levels, covariance=kind, noise=noise, **known), many if noise else one
    for levels in (20, 50):
        yield f"diffpir, {levels} levels, carried", DiffPir(levels=levels, carried=True, **high), many
    for prior, iterations in ((100.0, 100), (300.0, 100), (1000.0, 100), (300.0, 400)):
        name = f"red_diff, {iterations} iterations, prior {prior:g}"
        yield name, RedDiff(iterations=iterations, prior=prior, **known), many
    data = DataStep(steps=12, optimiser=Lbfgs(backtracks=24))
    yield "plug_and_play", PlugAndPlay(iterations=60, sigma=0.25, data=data, **known), one | {"key": "x"}
    chains = {"count": 8, "key": "x", "every": 5}
    for rho, iterations in ((0.1, 400), (0.2, 300)):
        yield f"split_gibbs, rho {rho:g}", SplitGibbs(iterations=iterations, burn=100, rho=rho, **known), chains


def main() -> None:
    """Print a table for each of two worlds."""
    options = argparse.ArgumentParser()
    options.add_argument("--draws", type=int, default=64)
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    for noise in (WEAK, SHARP):
        with tempfile.TemporaryDirectory() as folder:
            table(make_world(Path(folder), noise=noise), f"responses with noise {noise:g}", chosen)


def table(world: World, title: str, chosen: argparse.Namespace) -> None:
    """Print a table."""
    heads = ("bias of the mean", "its error", "spread", "most constrained", "least", "coverage of 0.9", "outside [0,1]")
    sys.stdout.write(f"\n| {title} | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n")
    line("exact draws", bias(world, world.draws(chosen.draws)))
    for name, method, how in cases(world, chosen.draws):
        if name.startswith(chosen.only):
            line(name, bias(world, drawn(world, method, **how)))


def line(name: str, found: Bias) -> None:
    """Print a row."""
    sys.stdout.write(f"| {name} | {' | '.join(f'{value:.2f}' for value in astuple(found))} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
