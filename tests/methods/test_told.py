"""What text does in every diffusion method: guidance by noise level and place, conditions per frame, their length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds
from worlds.told_prior import SENTENCE, ToldPrior

from recon.errors import InputError
from recon.methods import DiffPir, Dps, Egg, PlugAndPlay, Posterior, RedDiff, Sample, SplitGibbs, fitted
from recon.methods.base import Method, last_iterate, passes_of
from recon.methods.diffusion import priors as used
from recon.methods.diffusion.priors import conditioned
from recon.methods.optimise.data_step import DataStep
from recon.methods.text.sources import Given, Typed
from recon.priors.guidance import Guidance
from recon.priors.prior import TextSource
from recon.problem.problem import Problem
from recon.types import Caption

SAID = (Caption(0, 6, ("a disc moves left", "a disc travels")), Caption(6, 10, ("leaves",)))
METHODS: dict[str, Callable[[ToldPrior], Method]] = {
    "egg": lambda d: Egg(d, levels=3, scale=0.3),
    "dps": lambda d: Dps(d, levels=3),
    "diffpir": lambda d: DiffPir(d, levels=2, data=DataStep(steps=1)),
    "plug_and_play": lambda d: PlugAndPlay(d, iterations=2, data=DataStep(steps=1)),
    "split_gibbs": lambda d: SplitGibbs(d, iterations=2, burn=1, rho=0.5, levels=2, langevin=1),
    "red_diff": lambda d: RedDiff(d, iterations=3),
    "sample": lambda d: Sample(d, levels=3),
    "posterior": lambda d: Posterior(DiffPir(d, levels=2, data=DataStep(steps=1)), 2),
}


@pytest.fixture(scope="module", autouse=True)
def embedded() -> Any:
    """Embeddings drawn from the letters of a text, so that no language model is loaded."""

    def model(source: str) -> Callable[[Sequence[str]], Tensor]:
        def embed(texts: Sequence[str]) -> Tensor:
            draws = (torch.Generator().manual_seed(sum(map(ord, text))) for text in texts)
            return torch.stack([torch.randn(SENTENCE, generator=draw) for draw in draws])

        return embed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.priors.text._model", model)
        yield


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


def captioned() -> Problem:
    return replace(worlds.problem(2), captions=(SAID, SAID[:1]))


def run(name: str, prior: ToldPrior, artefacts: Path, problem: Problem | None = None) -> Tensor:
    method = fitted(METHODS[name](prior), worlds.training(artefacts))
    return last_iterate(method(problem or captioned(), torch.Generator().manual_seed(0))).movie


@pytest.mark.parametrize("name", METHODS)
def test_guidance_by_noise_level_and_place_reaches_every_method(
    name: str, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all is seen it is that of `seen`, where nothing is that of the noise level; in between it is neither."""
    seen, level = (run(name, ToldPrior(Given(), scale), artefacts) for scale in (1.0, 3.0))
    by_place = ToldPrior(Given(), Guidance(3.0, seen=1.0))
    between = run(name, by_place, artefacts)
    assert float((between - seen).abs().max()) > 1e-4 and float((between - level).abs().max()) > 1e-4
    for share, expected in ((0.0, seen), (1.0, level)):
        monkeypatch.setattr(
            used, "unseen_share", lambda problem, spectrum, share=share: torch.full((1, 1, 1, 6, 8), share)
        )
        assert torch.allclose(run(name, by_place, artefacts), expected, atol=1e-5)
    stepped = ToldPrior(Given(), Guidance(3.0, low=1.0, between=(99.0, 99.0)))
    assert torch.equal(run(name, stepped, artefacts), seen)


@pytest.mark.parametrize(
    "guidance", [0.0, 1.0, 3.0, Guidance(3.0, between=(0.1, 0.1)), Guidance(3.0, seen=1.0)], ids=str
)
def test_every_method_takes_the_denoisings_that_it_plans(guidance: float | Guidance, artefacts: Path) -> None:
    for name, made in METHODS.items():
        problem, planned = captioned(), passes_of(made(ToldPrior(Given(), guidance)))
        run(name, ToldPrior(Given(), guidance), artefacts, problem)
        assert problem.meter.denoised == planned.denoiser * problem.shape[0], name
        assert problem.meter.frames <= planned.encoder * problem.shape[0] * problem.shape[2] * 2 + 24, name


@pytest.mark.parametrize("name", METHODS)
def test_conditions_of_every_length_reach_the_denoiser_frame_by_frame(name: str, artefacts: Path) -> None:
    """Windows of the denoiser cut conditions as they cut movies; those without frames are the same in all."""
    draws = 2 if name == "posterior" else 1
    for text, tokens in ((Given(), 0), (Given(), 3), (Typed("a disc moves left"), 3)):
        prior = ToldPrior(text, tokens=tokens, window=6)
        run(name, prior, artefacts)
        width, told = SENTENCE * (1 + tokens), [asked for asked in prior.asked if asked is not None]
        assert told and {asked.shape[-1] for asked in told} == {width}
        if isinstance(text, Typed):
            assert {asked.shape for asked in told} == {(2 * draws, width)}
            continue
        assert {asked.shape for asked in told} == {(2 * draws, 6, width)}, "windows of 6 of 12 frames"
        known = conditioned(prior, worlds.spectrum(), captioned()).condition
        assert known is not None
        whole, other = known
        first, middle, last = told[:3]
        for start, asked in ((0, first), (3, middle), (6, last)):
            for condition, rows in ((whole, asked[:draws]), (other, asked[draws:])):
                expected = condition[start : start + 6].expand(draws, -1, -1)
                assert torch.equal(rows.nan_to_num(9.0), expected.nan_to_num(9.0))


def test_texts_keep_their_tokens_and_several_phrasings_their_mean() -> None:
    """A prior of sentences is told the mean over phrasings, and one of tokens the first phrasing."""
    sentences, long = (conditioned(ToldPrior(Given(), tokens=n), worlds.spectrum(), captioned()) for n in (0, 4))
    assert sentences.condition is not None and long.condition is not None
    prior = ToldPrior(tokens=4).denoiser((2, 1, 12, 6, 8), None)
    both = ToldPrior().denoiser((2, 1, 12, 6, 8), None).embed(sorted(SAID[0].texts))
    mean = torch.nn.functional.normalize(both.mean(0), dim=0)
    assert torch.equal(sentences.condition[0, 3], mean) and bool(sentences.condition[1, 6:].isnan().all())
    expected = prior.embed([SAID[0].texts[0]])[0]
    assert torch.equal(long.condition[0, 3].nan_to_num(9.0), expected.nan_to_num(9.0))
    assert not bool(expected.isnan().any()) and bool(prior.embed(["leaves"]).isnan().any()), "four words and one"
    assert bool(long.condition[0, 10:].isnan().all())
    typed = conditioned(ToldPrior(Typed("a b"), tokens=4), worlds.spectrum(), captioned()).condition
    assert typed is not None and torch.equal(typed.nan_to_num(9.0), prior.embed(["a b", "a b"]).nan_to_num(9.0))


def test_given_text_tells_places_or_leaves_them_out() -> None:
    texts = tuple(f"{word} text" for word in ("first", "second", "third", "placed", "ordered", "brief"))
    problem = replace(worlds.problem(1), captions=((Caption(0, 12, texts),),))

    def told(text: TextSource, problem: Problem, *, tokens: int = 0) -> Tensor:
        condition = conditioned(ToldPrior(text, tokens=tokens), worlds.spectrum(), problem).condition
        assert condition is not None
        return condition.flatten(0, -2)[0].nan_to_num(9.0)

    for place, chosen in ((True, texts[3:5]), (False, (*texts[:3], texts[5])), (None, texts)):
        alone = replace(problem, captions=((Caption(0, 12, chosen),),))
        assert torch.equal(told(Given(place), problem), told(Given(), alone))
        tokens = told(Given(place), problem, tokens=2)
        assert torch.equal(tokens, told(Typed(chosen[0]), problem, tokens=2))
    assert "place" in Given().attributes and "place" in Given(True).attributes
    assert "place" not in Given(False).attributes and "direction" in Given(False).attributes
    assert Given(True).needs.places and not Given().needs.places
    with pytest.raises(InputError, match="expected the 6 phrasings of simulated scenes for place false, got 2"):
        conditioned(ToldPrior(Given(False)), worlds.spectrum(), captioned())
