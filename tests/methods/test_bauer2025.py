"""The published loop: values of the public script, what each of its peculiarities does, and the loop without them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import bauer as bauer_worlds
from worlds import linear as worlds

from recon.encoders.base import Spec, freeze
from recon.encoders.canvas import centred
from recon.encoders.core_readout.core import CoreSettings
from recon.encoders.core_readout.model import CoreReadout, CoreReadoutSettings
from recon.encoders.dwiseneuro.encoder import DwiseNeuro
from recon.encoders.ensemble import Ensemble
from recon.methods import Gradient, Ridge
from recon.methods.linear.lags import Lags
from recon.methods.optimise.first_order import Evaluation, Momentum
from recon.methods.optimise.subclip_steps import SubClips
from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem
from recon.problem.subclips_published import published_gradients

yardstick: Any = importlib.import_module("yardstick")

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/bauer.json").read_text())
"""Values of the public script's own loop: `tests/exact/bauer2025_exact.py CLONE CLONE --golden FILE`."""
WORLD = bauer_worlds.World(bauer_worlds.FRAMES, bauer_worlds.NEURONS)


@pytest.fixture(scope="module")
def encoder() -> DwiseNeuro:
    return bauer_worlds.narrow_encoder()


@pytest.fixture(scope="module")
def problem(encoder: DwiseNeuro) -> Problem:
    return WORLD.problem(encoder)


def distance(canvas: Tensor, run: str) -> float:
    """Largest difference from the public script's values over their largest movement."""
    expected = torch.tensor(GOLDEN[run]["values"])
    ours = canvas[[0, 9, 25, 39]][:, 2::4, 2::4].flatten(1)
    return float((ours - expected).abs().max() / (expected - bauer_worlds.GREY).abs().max())


@pytest.mark.parametrize("run", bauer_worlds.RUNS)
def test_the_canvas_is_that_of_the_public_script(run: str, problem: Problem) -> None:
    canvas = bauer_worlds.canvas(bauer_worlds.preset("bauer2025", bauer_worlds.ITERATIONS, run=run), problem)
    expected = torch.tensor(GOLDEN[run]["values"])
    assert float((expected - bauer_worlds.GREY).abs().max()) > 1, "the movie has moved"
    # Relative to the movement, not to grey values. The public float32 norm of 655,360 entries is 6e-5 too small here.
    assert distance(canvas, run) < 2e-4
    assert float((canvas - bauer_worlds.GREY).norm()) == pytest.approx(GOLDEN[run]["norm"], rel=1e-4)
    assert (GOLDEN[run]["at_ends"] > 0) == (run == "saturated")
    assert bool((canvas[:, ~(WORLD.mask >= 0.5)] == bauer_worlds.GREY).all())


@pytest.mark.parametrize("weight_gradients", [False, True])
def test_the_yardstick_gives_the_same_movie(weight_gradients: bool, encoder: DwiseNeuro, problem: Problem) -> None:
    loop = yardstick.plain_loop(WORLD, encoder, weight_gradients=weight_gradients, track=2)
    canvas, ours = loop.run(4), bauer_worlds.canvas(bauer_worlds.preset("bauer2025", 4), problem)
    moved = (canvas - bauer_worlds.GREY).abs().max()
    assert float(moved) > 0.1 and float((ours - canvas).abs().max() / moved) < 1e-3
    assert len(loop.losses) == 3 and loop.losses[-1] != loop.losses[0]
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in encoder.parameters())


def without(method: Gradient, peculiarity: str) -> Gradient:
    """Return the loop without one of its peculiarities."""
    if peculiarity == "skip_first":
        return replace(method, optimiser=replace(method.optimiser, skip_first=False))
    if peculiarity == "canvas":
        return replace(method, canvas=False)
    assert method.subclips is not None
    change: dict[str, Any] = {"repeat_last": {"repeat_last": False}, "norm": {"norm": "movie"}}[peculiarity]
    return replace(method, subclips=replace(method.subclips, **change))


@pytest.mark.slow
@pytest.mark.parametrize("peculiarity", ["skip_first", "norm", "repeat_last"])
def test_every_peculiarity_counts(peculiarity: str, problem: Problem) -> None:
    method = without(bauer_worlds.preset("bauer2025", bauer_worlds.ITERATIONS), peculiarity)
    assert distance(bauer_worlds.canvas(method, problem), "published") > 0.01


def test_the_movie_is_the_screen_of_the_canvas(problem: Problem) -> None:
    method = bauer_worlds.preset("bauer2025", 3)
    *_, last = method(problem, torch.Generator())
    variable = last.state["variable"]
    assert variable.shape == (1, 1, WORLD.frames, 64, 64)
    assert torch.equal(last.movie, variable[:, :, :, 14:50])
    assert bool((variable[:, :, :, :14] != 0.5).any()), "the border moves too"
    *_, frames = without(method, "canvas")(problem, torch.Generator())
    assert frames.state["variable"].shape == frames.movie.shape == last.movie.shape
    assert not torch.equal(frames.movie, last.movie)


def test_the_fixed_loop_moves_every_frame_of_an_encoder_of_windows(problem: Problem) -> None:
    """Windows are not padded, so rates of a sub-clip count although their context is as long as the sub-clip."""
    *_, last = bauer_worlds.preset("bauer2025_fixed", 3)(problem, torch.Generator())
    moved = (last.movie - 0.5).abs()[0, 0]
    inside = centred(WORLD.mask >= 0.5, (36, 64))
    assert bool((moved[:, inside].amax(1) > 0).all()) and not bool(moved[:, ~inside].any())


def test_behavior_may_fill_the_canvas_already(encoder: DwiseNeuro) -> None:
    movie, behavior = torch.rand(1, 1, 33, 64, 64), WORLD.behavior[None, :, :33]
    planes = behavior[..., None, None].expand(-1, -1, -1, 64, 64)
    assert torch.equal(encoder(movie, planes), encoder(movie, behavior))
    pair = Ensemble((encoder, encoder))
    assert pair.canvas == (64, 64) and not pair.padded_in_time
    torch.testing.assert_close(pair(movie, planes), encoder(movie, behavior))


def behaving() -> Problem:
    """A tiny problem whose encoder filters time first and sees behavior."""
    spec = Spec((6, 8), tuple(range(worlds.NEURONS)), behavior=("pupil_dilation", "running_speed"), context=(3, 0))
    settings = CoreReadoutSettings(CoreSettings(lags=4, temporal=2, block=2, kernel=2, features=5, hidden=6))
    encoder = CoreReadout(spec, settings)
    encoder.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for parameter in encoder.gain.parameters() if encoder.gain is not None else ():
        parameter.data.normal_(0, 0.5, generator=generator)
    behavior = torch.rand(2, 4, worlds.FRAMES, generator=generator)
    measured = replace(worlds.problem().observations[0].measurement, behavior=behavior)
    return Problem(FIDELITIES["poisson"](), (Observation(freeze(encoder), measured),))


def test_the_published_norm_is_that_of_movie_and_behavior_in_grey_levels() -> None:
    problem, movie, spans = behaving(), worlds.movies(2, seed=3), [(0, 6), (2, 8), (6, 12)]
    measured, encoder = problem.observations[0].measurement, problem.observations[0].encoder
    assert measured.behavior is not None
    shared = list(published_gradients(problem, movie, spans, observation=0, separable=True))
    alone = list(published_gradients(problem, movie, spans, observation=0, separable=False))
    for (span, value, gradient, norm), other in zip(shared, alone, strict=True):
        part = slice(*span)
        grey = (movie[:, :, part] * 255).requires_grad_(True)
        states = measured.behavior[..., part].clone().requires_grad_(True)
        # Frames whose context lies before the sub-clip do not count, except at the start of the movie.
        counted = torch.arange(*span)[None] >= (span[0] + 3 if span[0] else 0)
        mask = (measured.neurons[:, None] & counted).expand(2, -1, -1)
        rates = encoder(grey / 255, states)
        mean = problem.fidelity(rates, measured.responses[..., part], mask) / mask[0].sum()
        expected = torch.autograd.grad(mean.sum(), (grey, states))
        both = torch.cat([gradient.flatten(1) for gradient in expected], 1).norm(dim=1)
        assert bool((both > 1.1 * expected[0].flatten(1).norm(dim=1)).all()), "behavior weighs in the norm"
        for ours in ((value, gradient, norm), other[1:]):
            torch.testing.assert_close(ours[0], mean.detach(), rtol=1e-5, atol=0)
            torch.testing.assert_close(ours[1], expected[0], rtol=1e-4, atol=1e-9)
            torch.testing.assert_close(ours[2], both, rtol=1e-4, atol=0)


def test_without_a_border_the_published_loop_differs_by_norm_and_first_step_only() -> None:
    problem = behaving()
    fixed = Gradient(iterations=4, optimiser=Momentum(0.3), subclips=SubClips(6, 4))
    *_, expected = fixed(problem, torch.Generator())
    exact = replace(fixed, canvas=True, subclips=SubClips(6, 4, norm="all_inputs", repeat_last=True))
    *_, last = exact(problem, torch.Generator())
    *_, movie_only = replace(exact, subclips=SubClips(6, 4))(problem, torch.Generator())
    assert torch.equal(movie_only.movie, expected.movie)
    assert not torch.equal(last.movie, expected.movie)


def test_the_first_gradient_is_thrown_away() -> None:
    def evaluate(variable: Tensor) -> Evaluation:
        return Evaluation(variable.new_zeros(1), torch.ones_like(variable))

    moved = {}
    for skip in (False, True):
        optimiser, x = Momentum(1.0, warmup=0, ramp=False, skip_first=skip), torch.zeros(1, 3)
        memory = optimiser.start(x)
        for _ in range(2):
            x, memory, _ = optimiser.step(x, memory, evaluate)
        moved[skip] = float(x[0, 0])
    assert moved[False] == pytest.approx(-2.0)
    assert moved[True] == pytest.approx(-0.1 / 0.19)


def test_a_canvas_starts_from_another_method_inside_a_grey_border(problem: Problem, tmp_path: Path) -> None:
    tiny = worlds.problem()
    start = Ridge(lags=Lags(0, 1, 2), folds=2)
    method = Gradient(iterations=1, canvas=True, optimiser=Momentum(1.0), start=start)
    ready = method.fit(worlds.training(tmp_path))
    (first,) = ready(tiny, torch.Generator())
    *_, from_ridge = ready.start(tiny, torch.Generator())
    assert torch.equal(first.movie, from_ridge.movie.clamp(0, 1))


def test_a_learnt_spectrum_has_no_border() -> None:
    with pytest.raises(ValueError, match="canvas: expected pixels"):
        Gradient(canvas=True, parameterisation="spectrum")


def test_encoders_of_one_problem_share_a_canvas(encoder: DwiseNeuro, problem: Problem) -> None:
    other = worlds.problem().observations[0]
    mixed = Problem(problem.fidelity, (problem.observations[0], other))
    with pytest.raises(ValueError, match="expected one size for all encoders"):
        mixed.on_canvas()
    assert problem.on_canvas().shape == (1, 1, WORLD.frames, 64, 64)


@pytest.mark.parametrize("size", [(5, 8), (4, 3), (7, 7), (3, 10)])
def test_what_is_widened_and_cut_again_is_the_same(size: tuple[int, int]) -> None:
    frames = torch.rand(2, 4, 7)
    there = centred(frames, (max(4, size[0]), max(7, size[1])), fill=3.0)
    assert torch.equal(centred(there, (4, 7)), frames)
