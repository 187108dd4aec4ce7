"""How far samplers are from posteriors that are known by quadrature and not Gaussian.

    python tests/exact/mixture_posteriors.py [--clips 200] [--draws 19] [--only dps] [--latents 2]

The prior is a mixture of three Gaussian modes of 1, 2 or 3 latents, with its exact denoiser; the encoder is a rectified
quadratic with Gaussian noise, so that posteriors have several modes; as a control, once linear. Prints a table for each
over many draws of (truth, responses), in about six minutes of one thread. Methods run through their public interface;
samples are their last movies, of split Gibbs the last x of each chain.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.methods import DiffPir, Dps, Egg, PlugAndPlay, RedDiff, SplitGibbs
from recon.methods.base import Method, last_iterate
from recon.methods.diffusion.posterior import Posterior
from recon.methods.diffusion.sample import Sample
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.lbfgs import Lbfgs
from recon.metrics.calibration import central_coverage, rank_curve, ranks, tarp_ranks
from recon.metrics.coverage import interval_coverage

sys.path.insert(0, str(Path(__file__).parents[1]))

worlds: Any = importlib.import_module("worlds.mixture")
square_of_mean: Any = importlib.import_module("sampler_bias").square_of_mean

NOISE = {1: 0.3, 2: 0.3, 3: 0.6}
"""Standard deviation of the responses' noise, by the number of latents."""
HIGH = 1.5
"""Noise to start from: far above the distance, 0.5, between modes."""


@dataclass(frozen=True)
class Departure:
    """What is wrong with a sampler's draws, over all clips.

    `mean`: root mean square distance of their mean from the posterior mean over the root of the posterior's variance,
    without what finitely many draws add; `error` its standard error. `spread`: root of their variance over that of the
    posterior. `modes`: probability in the wrong mode, clip by clip (exact draws: what finitely many draws give).
    `half` and `ninety`: coverage of the truth by central 50 and 90 % intervals of pixels. `tarp`: p value of the TARP
    curve with references that are posterior draws, and `blind` with draws of the prior, which a sampler that ignores
    the responses passes too; below .05 the curve leaves its 95 % simultaneous band.
    """

    mean: float
    error: float
    spread: float
    modes: float
    half: float
    ninety: float
    tarp: float
    blind: float


HEADS = ("bias of the mean", "its error", "spread", "wrong mode", "coverage of .5", "of .9", "TARP p", "TARP p, blind")


def drawn(world: Any, method: Method, count: int) -> Tensor:
    """Return the draws `[B,n,P]` of a method, all chains side by side, as float64 pixels."""
    clips = len(world.truth)
    if isinstance(method, PlugAndPlay):  # no noise: every chain is the same
        return drawn_once(world, method).expand(-1, count, -1)
    each = world.problem.sample(torch.arange(clips).repeat_interleave(count))
    last = last_iterate(method(each, torch.Generator().manual_seed(1)))
    movie = last.state["x"].clamp(0, 1) if isinstance(method, SplitGibbs) else last.movie
    return movie.reshape(clips, count, -1).double()


def drawn_once(world: Any, method: Method) -> Tensor:
    """Return the movie `[B,1,P]` of a deterministic method."""
    return last_iterate(method(world.problem, torch.Generator())).movie.reshape(len(world.truth), 1, -1).double()


def departure(world: Any, draws: Tensor) -> Departure:
    """Return what is wrong with draws `[B,n,P]`."""
    exact, modes, generator = world.posterior, world.modes, np.random.default_rng(2)
    truth = modes.movies(world.truth).flatten(1).double()
    total, count = float(exact.variance.mean()), draws.shape[1]
    square, error = square_of_mean(draws - modes.movies(exact.mean).flatten(1).double()[:, None])
    pixels = [ranks(truth[:, at], draws[:, :, at], generator=generator) for at in range(truth.shape[1])]
    chance = torch.Generator().manual_seed(3)
    near, far = exact.draws(1, chance)[:, 0], modes.draws(len(truth), chance)
    curves = [
        rank_curve(tarp_ranks(truth, draws, modes.movies(at).flatten(1), generator=generator), count)
        for at in (near, far)
    ]
    return Departure(
        mean=(square / total) ** 0.5,
        error=((square + error) ** 0.5 - square**0.5) / total**0.5,
        spread=float(draws.var(1).sum(1).mean() / total) ** 0.5,
        modes=float(
            (shares(world, draws) - exact.probability @ membership(modes, exact.points)).abs().sum(1).mean() / 2
        ),
        half=float(np.mean([central_coverage(found, count, level=0.5) for found in pixels])),
        ninety=float(np.mean([central_coverage(found, count, level=0.9) for found in pixels])),
        tarp=curves[0].p_value,
        blind=curves[1].p_value,
    )


def membership(modes: Any, latents: Tensor) -> Tensor:
    """Return the responsibilities `[...,K]` of the modes for latents `[...,d]`."""
    found: Tensor = modes.log_parts(latents).softmax(-1)
    return found


def shares(world: Any, draws: Tensor) -> Tensor:
    """Return the share `[B,K]` of draws `[B,n,P]` in each mode."""
    return membership(world.modes, (draws - 0.5) @ world.modes.basis).mean(1)


def shown(world: Any, method: Posterior) -> tuple[float, float]:
    """Return the coverage of the truth by the 50 and 90 % intervals that `posterior` reports: mean ± t·deviation."""
    last = last_iterate(method(world.problem, torch.Generator().manual_seed(1)))
    assert last.uncertainty is not None
    known = {"deviation": last.uncertainty.deviation, "draws": last.uncertainty.draws}
    truth = world.modes.movies(world.truth)
    half, ninety = (interval_coverage(last.movie, truth=truth, level=level, **known).mean() for level in (0.5, 0.9))
    return float(half), float(ninety)


def cases(world: Any) -> Iterator[tuple[str, Method]]:
    """Yield the name of a row and its method: the likelihood at its own weight, defaults and what was tuned for it."""
    known: dict[str, Any] = {"denoiser": world.prior, "artefact": world.artefact}
    high = {"highest": HIGH} | known
    yield "sample (control: the prior alone)", Sample(levels=50, noise=1.0, **high)
    for levels, noise in ((50, 0.5), (200, 0.5), (200, 1.0)):
        yield f"dps, {levels} levels, noise {noise:g}", Dps(levels=levels, noise=noise, lowest=0.01, **high)
    for scale in (0.02, 0.05, 0.1, 0.2):
        yield f"egg, 50 levels, scale {scale:g}", Egg(levels=50, scale=scale, lowest=0.01, **high)
    for levels in (12, 50):
        for covariance in ("spectrum", "white"):
            name = f"diffpir, {levels} levels, carried, {covariance}"
            yield name, DiffPir(levels=levels, carried=True, lowest=0.01, covariance=covariance, **high)
    yield "diffpir, 10 levels, fresh noise (default)", DiffPir(**known)
    for prior in (100.0, 300.0):
        yield f"red_diff, 100 iterations, prior {prior:g}", RedDiff(prior=prior, **known)
    yield "plug_and_play", PlugAndPlay(data=DataStep(steps=12, optimiser=Lbfgs(backtracks=24)), **known)
    for rho in (0.1, 0.05, 0.02):
        yield f"split_gibbs, rho {rho:g}", SplitGibbs(iterations=300, burn=100, rho=rho, lowest=0.005, **known)


def table(world: Any, title: str, chosen: argparse.Namespace) -> None:
    """Print a table."""
    sys.stdout.write(f"\n| {title} | {' | '.join(HEADS)} |\n|---|{'---|' * len(HEADS)}\n")
    exact = world.posterior.draws(chosen.draws, torch.Generator().manual_seed(4))
    line("exact draws", departure(world, world.modes.movies(exact).flatten(2).double()))
    for name, method in cases(world):
        if name.startswith(chosen.only):
            line(name, departure(world, drawn(world, method, chosen.draws)))
    inner = DiffPir(levels=50, carried=True, highest=HIGH, lowest=0.01, denoiser=world.prior, artefact=world.artefact)
    if "posterior".startswith(chosen.only):
        half, ninety = shown(world, Posterior(inner, draws=8))
        sys.stdout.write(
            f"| posterior, 8 draws of diffpir, 50 levels, carried | | | | | {half:.2f} | {ninety:.2f} | | |\n"
        )


def line(name: str, found: Departure) -> None:
    """Print a row."""
    values = [getattr(found, part.name) for part in fields(found)]
    words = [f"{value:.2f}" if value >= 0.005 or value < 1e-12 else "<.005" for value in values]
    sys.stdout.write(f"| {name} | {' | '.join(words)} |\n")
    sys.stdout.flush()


def main() -> None:
    """Print a table for each number of latents."""
    options = argparse.ArgumentParser()
    options.add_argument("--clips", type=int, default=200)
    options.add_argument("--draws", type=int, default=19)
    options.add_argument("--latents", type=int, nargs="*", default=[1, 2, 3])
    options.add_argument("--only", default="")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    for latents, curved in [(one, True) for one in chosen.latents] + [(2, False)] * (2 in chosen.latents):
        with tempfile.TemporaryDirectory() as folder:
            how = {"noise": NOISE[latents] if curved else 1.0, "clips": chosen.clips, "curved": curved}
            world = worlds.make_world(Path(folder), latents, **how)
            kind = "" if curved else ", linear encoder"
            table(world, f"{latents} latents{kind}, {several(world):.0%} of posteriors with two modes", chosen)


def several(world: Any) -> float:
    """Return the share of clips whose posterior has at least 10 % of its probability outside its first mode."""
    probability = world.posterior.probability @ membership(world.modes, world.posterior.points)
    return float((probability.amax(1) < 0.9).double().mean())


if __name__ == "__main__":
    main()
