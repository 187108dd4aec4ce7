"""numbers: every method, encoder and prior on a tiny world, on the device and on the CPU, from one generator seed.

Noise is drawn on the CPU on both, so that what remains is rounding. A relative change of 1e-7 of the encoder's weights
moves the movie of the most sensitive method (plug_and_play) by 1e-4 on a CPU: the tolerance is ten times that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from gpu.clips import Sizes, core_readout_clips
from gpu.measure import largest, relative
from gpu.part import Case, Part, Row
from torch import Tensor
from worlds import bauer
from worlds import linear as worlds
from worlds.method_table import METHOD_TABLE

from recon.encoders.checkpoints import load_encoder
from recon.methods import Alignment, Convolutional, DeepEnsemble, Latent, Meicoder, Method, fitted
from recon.priors.movie_diffusion import load_movie_diffusion
from recon.problem.problem import Problem

TOLERANCE = 1e-3
"""Of movies in [0,1]."""
LEARNT_TOLERANCE = 2e-2
"""Of movies of methods that also learn on the device: their optimisers divide by gradients' rounded squares."""
RELATIVE_TOLERANCE = 1e-4
"""Of rates, gradients and denoised movies, over the largest on the CPU."""
SHIPPED = "v1_seed0"
TRAINED = (Alignment, Convolutional, DeepEnsemble, Latent, Meicoder)
"""Methods that train networks, on the device of the training set."""
CPU = torch.device("cpu")


def numbers(device: torch.device, sizes: Sizes) -> Part:
    """Return the part: methods that learn on the CPU and run on the device, the same learnt there, networks alone.

    The worlds are tiny whatever the `sizes`.
    """
    folder = Path(tempfile.mkdtemp(prefix="recon_gpu_"))
    cases: dict[str, Case] = {
        "encoder core_readout": partial(encoder_row, core_readout_problem, device),
        "encoder dwiseneuro": partial(encoder_row, dwiseneuro_problem, device),
        "prior movie_diffusion": partial(prior_row, device),
    }
    for name in METHOD_TABLE:
        cases[name] = partial(method_row, name, device, folder)
        if isinstance(METHOD_TABLE[name], TRAINED):
            cases[f"{name}, learnt there"] = partial(method_row, name, device, folder, learnt_there=True)
    return Part("numbers", cases)


def verdict(difference: float, tolerance: float) -> Row:
    """Return a row: the largest difference passes where it is at most the tolerance."""
    passed = difference <= tolerance
    return {"max difference": difference, "tolerance": tolerance, "result": "pass" if passed else "FAIL"}


def method_row(name: str, device: torch.device, folder: Path, *, learnt_there: bool = False) -> Row:
    """Return the largest difference of a method's movies on the device from those on the CPU."""
    learnt = fitted(METHOD_TABLE[name], worlds.training(folder / "cpu"))
    expected = last_movie(learnt, worlds.problem())
    if learnt_there:
        training = replace(worlds.training(folder / "device"), device=device, encoders=(worlds.encoder().to(device),))
        learnt = fitted(METHOD_TABLE[name], training)
    given = last_movie(learnt, on_device(worlds.problem(), device))
    return verdict(largest(given, expected), LEARNT_TOLERANCE if learnt_there else TOLERANCE)


def last_movie(method: Method, problem: Problem) -> Tensor:
    """Return the movie of a method's last iterate."""
    movie = torch.full((), torch.nan)
    for iterate in method(problem, torch.Generator().manual_seed(0)):
        movie = iterate.movie
    return movie


def on_device(problem: Problem, device: torch.device) -> Problem:
    """Return a problem whose encoders and measurements are on a device."""
    mask = problem.update_mask
    moved = tuple(
        replace(seen, encoder=seen.encoder.to(device), measurement=seen.measurement.to(device))
        for seen in problem.observations
    )
    return replace(problem, observations=moved, update_mask=None if mask is None else mask.to(device))


def encoder_row(pose: Callable[[], Problem], device: torch.device) -> Row:
    """Return the larger of the relative differences of an encoder's rates and of its energy's gradient."""
    found = []
    for place in (CPU, device):
        problem = on_device(pose(), place)
        movie = torch.rand(problem.shape, generator=torch.Generator().manual_seed(4)).to(place)
        (seen,) = problem.observations
        with torch.no_grad():
            rates = seen.encoder(movie, seen.measurement.behavior)
        found.append((rates, problem.value_and_gradient(movie)[1]))
    return verdict(max(relative(there, here) for here, there in zip(*found, strict=True)), RELATIVE_TOLERANCE)


def core_readout_problem() -> Problem:
    """Return a problem of a shipped encoder on ten frames."""
    return core_readout_clips(load_encoder(SHIPPED, architecture="core_readout"), 10)


def dwiseneuro_problem() -> Problem:
    """Return the published loop's problem with a narrow network."""
    posed: Problem = bauer.World(bauer.FRAMES, bauer.NEURONS).problem(bauer.narrow_encoder())
    return posed


@torch.no_grad()
def prior_row(device: torch.device) -> Row:
    """Return the relative difference of what the shipped prior makes of a noisy movie and a text."""
    draws = torch.Generator().manual_seed(5)
    movie, text = torch.rand(1, 1, 16, 36, 64, generator=draws), torch.randn(1, 384, generator=draws)
    sigma, model = torch.tensor([0.4]), load_movie_diffusion("movie_diffusion")
    expected = model(movie, sigma, text)
    given = model.to(device)(movie.to(device), sigma.to(device), text.to(device))
    return verdict(relative(given, expected), RELATIVE_TOLERANCE)
