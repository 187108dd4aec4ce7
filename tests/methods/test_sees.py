"""What each method sees, derived: an input that it claims not to see is changed, and the movie is the same, bit by bit.

One that it claims to see changes the movie. Methods × denoisers × sources of text, also with strength or guidance 0.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds
from worlds.ablation import write_prior
from worlds.method_table import METHOD_TABLE
from worlds.toy_method import ToyMethod

from recon.encoders.base import Encoder, freeze
from recon.methods import METHODS, fitted
from recon.methods.base import Method, last_iterate
from recon.methods.combined import ReconstructionEnsemble
from recon.methods.facts import GIVEN
from recon.methods.optimise.data_step import DataStep
from recon.methods.text.decoder import Decoded
from recon.methods.text.examples import Windows
from recon.methods.text.sources import Given, Typed
from recon.priors import PRIORS
from recon.priors.diffusion import Diffusion
from recon.priors.guidance import Guidance
from recon.priors.latent_diffusion import Pretrained
from recon.priors.prior import PixelPrior, Prior
from recon.problem.problem import Observation, Problem
from recon.types import Caption

WORDS = ("a disc moves", "a pile of leaves", "clouds", "a page of text")


class Moved(Encoder):
    """The linear population of the worlds, whose rates depend on behavior."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__()
        self.inner, self.spec = inner, replace(inner.spec, behavior=("running_speed",))

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        rates: Tensor = self.inner(movie)
        return rates if behavior is None else rates * (0.3 * behavior[:, :1]).exp()


class Spoken(worlds.TinyRecording):
    """The tiny recording with two captioned scenes per trial."""

    def spoken(self, index: int) -> tuple[Caption, ...]:
        first, second = WORDS[index % 4], WORDS[(index * 3 + 1) % 4]
        return Caption(0, 12, (first,)), Caption(12, 24, (second,))


@dataclass(frozen=True)
class World:
    """Seeds of all that a method may be given."""

    responses: int = 1
    behavior: int = 2
    animals: int = 3
    captions: int = 0

    def problem(self) -> Problem:
        """Return a problem with behavior, captions, and the activity of another animal."""
        own, movie = freeze(Moved(worlds.encoder())), worlds.movies(2, seed=5)
        behavior = torch.randn(2, 4, worlds.FRAMES, generator=torch.Generator().manual_seed(self.behavior))
        seen = replace(worlds.measurement(movie, seed=self.responses), behavior=behavior)
        other = Observation(worlds.encoder(seed=8), worlds.measurement(movie, seed=self.animals), animal="b")
        said = tuple((Caption(0, worlds.FRAMES, (WORDS[self.captions + sample],)),) for sample in range(2))
        return Problem(worlds.FIDELITIES["poisson"](), (Observation(own, seen), other), captions=said)


BASE = World()
CHANGES = {
    "responses": World(responses=11),
    "behavior": World(behavior=12),
    "animals": World(animals=13),
    "captions": World(captions=2),
}


def movie_of(method: Method, world: World) -> Tensor:
    return last_iterate(method(world.problem(), torch.Generator().manual_seed(0))).movie


def found(method: Method) -> dict[str, bool]:
    """Return of each input whether the movie changes with it."""
    base = movie_of(method, BASE)
    return {name: not torch.equal(movie_of(method, world), base) for name, world in CHANGES.items()}


def claimed(method: Method) -> dict[str, bool]:
    sees = method.sees
    return {
        "responses": sees.activity,
        "behavior": sees.behavior,
        "animals": sees.animals,
        "captions": GIVEN in sees.text,
    }


@pytest.mark.parametrize("name", METHOD_TABLE)
def test_a_method_sees_what_it_claims(name: str, ready: dict[str, Any]) -> None:
    assert found(ready[name]) == claimed(ready[name])


@pytest.fixture(scope="module", autouse=True)
def embedded() -> Any:
    """Embeddings drawn from the letters of a text, so that no language model is loaded."""

    def model(source: str) -> Callable[[Sequence[str]], Tensor]:
        def embed(texts: Sequence[str]) -> Tensor:
            draws = (torch.Generator().manual_seed(sum(map(ord, text))) for text in texts)
            return torch.stack([torch.randn(384, generator=draw) for draw in draws])

        return embed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.priors.text._model", model)
        yield


def test_a_method_that_is_added_sees_what_it_claims(tmp_path: Path) -> None:
    method = fitted(ToyMethod(), worlds.training(tmp_path))
    assert found(method) == claimed(method) and method.sees.behavior


@functools.cache
def prior_named(name: str) -> Prior:
    """Return a small prior of a registered name."""
    if name == "pretrained":
        from worlds import pipelines

        return Pretrained(pipelines.folder("image"), scale=2, guidance=2.0)
    weights = Path(tempfile.mkdtemp()) / "tiny.safetensors"
    return Diffusion(write_prior(weights), guidance=2.0) if name == "diffusion" else PRIORS[name]()


TEXTS = {"none": None, "given": Given(), "typed": Typed("a disc"), "decoded": Decoded(windows=Windows(6, 6), hidden=4)}
SHORT: dict[str, dict[str, Any]] = {
    "egg": {"levels": 2, "scale": 0.5},
    "dps": {"levels": 2},
    "diffpir": {"levels": 2, "data": DataStep(steps=1)},
    "plug_and_play": {"iterations": 2, "data": DataStep(steps=1)},
    "split_gibbs": {"iterations": 2, "burn": 1, "rho": 0.5, "levels": 2, "langevin": 2, "step": 0.01},
    "red_diff": {"iterations": 2},
    "sample": {"levels": 2},
}
LATENT = ("egg", "dps", "sample")
"""Samplers that take priors of latents."""
OFF: dict[str, dict[str, Any]] = {
    "diffpir": {"data": DataStep(0.0, steps=1)},
    "plug_and_play": {"data": DataStep(0.0, steps=1)},
    "egg": {"scale": 0.0},
    **{name: {"beta": 0.0} for name in ("dps", "split_gibbs", "red_diff")},
}


def made(name: str, prior: Prior, text: str, **settings: Any) -> Method:
    """Return a sampler with a prior and its text."""
    told = replace(prior, text=TEXTS[text]) if prior.takes_text else prior
    return METHODS[name](denoiser=told, **(SHORT[name] | settings))


def cells(*, quick: bool) -> list[tuple[str, str, str]]:
    """Return (method, prior, text) of the table: pipelines, and most of the product, are slow."""
    every = [(m, p, t) for m in SHORT for p in PRIORS for t in (TEXTS if PRIORS[p].takes_text else ("none",))]
    latent = [cell for cell in every if not issubclass(PRIORS[cell[1]], PixelPrior)]
    pixels = [cell for cell in every if cell not in latent]
    first = [cell for cell in pixels if cell[0] == "egg" or cell[2] in ("none", "decoded")]
    rest = [cell for cell in pixels if cell not in first]
    return first if quick else rest + [cell for cell in latent if cell[0] in LATENT]


def check(cell: tuple[str, str, str], artefacts: Path) -> None:
    """Check a cell of the table, with its strength and its guidance, and without each."""
    name, prior, text = cell
    known = prior_named(prior)
    training = worlds.training(artefacts, Spoken())
    methods = [made(name, known, text), made(name, known, text, **OFF.get(name, {}))]
    if text != "none":
        methods.append(made(name, replace(known, guidance=0.0), text))
    for method in methods:
        assert found(fitted(method, training)) == claimed(method), method
        assert bool(method.sees.pretrained) == (prior != "gaussian")
    assert methods[0].sees.activity == (name != "sample" or text == "decoded")
    assert methods[1].sees.activity == (text == "decoded"), "at strength 0 there is only the text"


@pytest.mark.parametrize("cell", cells(quick=True), ids="-".join)
def test_a_sampler_sees_what_its_prior_and_text_see(cell: Any, tmp_path: Path) -> None:
    check(cell, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(quick=False), ids="-".join)
def test_every_sampler_prior_and_text(cell: Any, tmp_path: Path) -> None:
    check(cell, tmp_path)


@pytest.mark.parametrize("name", ["sample", "egg"])
def test_guidance_by_place_sees_the_behavior_of_the_clip_and_no_response(name: str, tmp_path: Path) -> None:
    known = replace(prior_named("diffusion"), guidance=Guidance(2.0, seen=0.0))
    method = made(name, known, "typed", **OFF.get(name, {}))
    assert found(fitted(method, worlds.training(tmp_path))) == claimed(method)
    assert method.sees.behavior and not method.sees.activity and "where the encoders' neurons see" in method.sees.learnt


def test_a_decoder_is_never_given_another_animals_responses(ready: dict[str, Any]) -> None:
    """In an ensemble over encoders each problem has one observation, whose neurons may happen to be as many."""
    with pytest.raises(ValueError, match="decoder: expected responses of its own animal, got those of 'b'"):
        movie_of(ReconstructionEnsemble(ready["ridge"]), BASE)
