"""Energy-guided diffusion: the public code's trajectory, the length of a step, and what the last level shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from worlds import egg as worlds

from recon.methods import Egg
from recon.priors.guidance import ClassifierFree, falling
from recon.priors.latent_diffusion import LatentDiffusion
from recon.types import Iterate

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden/egg.json").read_text())
"""Samples and clean estimates of the public sampler: `tests/exact/egg_exact.py CLONE --golden FILE`."""
SIGMAS = falling(worlds.LEVELS, worlds.HIGHEST, worlds.LOWEST)


def iterates(folder: Path, step: Literal["published", "constant"], scale: float = worlds.ENERGY_SCALE) -> list[Iterate]:
    prior: Any = worlds.TinyPrior()
    method = Egg(prior, worlds.LEVELS, worlds.HIGHEST, worlds.LOWEST, scale, step=step)
    method = replace(method, artefact=worlds.artefact(folder))
    return list(method(worlds.problem(), torch.Generator().manual_seed(worlds.SEED), worlds.start()))


def movie(name: str, level: int, sigma: float) -> Tensor:
    """Return a public value at noise σ in movies on [0,1]: x = (variable / √ᾱ + 1) / 2, ᾱ = 1 / (1 + (2σ)²)."""
    variable = torch.tensor(GOLDEN["levels"][level][name], dtype=torch.float64).reshape(worlds.SHAPE)
    shown: Tensor = (variable * (1 + (2 * sigma) ** 2) ** 0.5 + 1) / 2
    return shown


def test_the_published_step_follows_the_public_trajectory(tmp_path: Path) -> None:
    assert pytest.approx(SIGMAS) == GOLDEN["sigmas"]
    found = iterates(tmp_path, "published")
    for level, (iterate, then) in enumerate(zip(found, [*SIGMAS[1:], 0.0], strict=True)):
        clean = movie("pred_xstart", level, 0.0)
        assert torch.allclose(iterate.movie.double(), clean.clamp(0, 1), rtol=0, atol=1e-5)
        expected = movie("sample", level, then) if then else clean
        assert torch.allclose(iterate.state["variable"].double(), expected, rtol=0, atol=1e-5)


def test_a_constant_step_and_no_step_lead_elsewhere(tmp_path: Path) -> None:
    public = movie("pred_xstart", worlds.LEVELS - 1, 0.0)
    others = (iterates(tmp_path, "constant"), iterates(tmp_path, "published", 0.0))
    assert all(float((other[-1].state["variable"] - public).abs().max()) > 0.05 for other in others)


def test_the_last_level_shows_its_clean_estimate(tmp_path: Path) -> None:
    """The misfit belongs to the movie that is shown, and costs no further evaluation."""
    problem = worlds.problem()
    last = iterates(tmp_path, "constant")[-1]
    assert torch.equal(last.movie, last.state["variable"].clamp(0, 1))
    assert torch.allclose(last.terms["misfit"], problem.energy(last.state["variable"]))


def test_published_steps_are_constant_in_the_variable_of_the_network() -> None:
    """In movies on [0,1]: half the scale times √(1 + (2σ)²); in latents, which networks see as they are, √(1 + σ²)."""
    method = Egg(scale=3.0, step="published")
    network = ClassifierFree(worlds.TinyNetwork(), 1.0)
    for sigma in (0.02, 0.5, 4.0):
        assert method.length(sigma, network.network_unit) == pytest.approx(1.5 * (1 + (2 * sigma) ** 2) ** 0.5)
        assert method.length(sigma, LatentDiffusion.network_unit) == pytest.approx(3.0 * (1 + sigma**2) ** 0.5)
        assert replace(method, step="constant").length(sigma, network.network_unit) == 3.0
