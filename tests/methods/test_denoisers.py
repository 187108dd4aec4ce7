"""Methods with a denoiser: what they load, what text does, and what they do with samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worlds import linear as worlds

from recon import config
from recon.methods import DiffPir, Dps, Egg, Gradient, PlugAndPlay, Posterior, RedDiff, Sample, SplitGibbs, fitted
from recon.methods.base import last_iterate
from recon.methods.diffusion.priors import conditioned, load_spectrum
from recon.methods.diffusion.sampling import pulled, renoised
from recon.methods.optimise.data_step import DataStep
from recon.methods.optimise.lbfgs import Lbfgs
from recon.methods.text.sources import Given, Typed
from recon.priors.coarse_diffusion import TOKENS, CoarseDiffusion
from recon.priors.coarse_unet import CoarseUnetSettings
from recon.priors.diffusion import Diffusion
from recon.priors.gaussian import GaussianPrior
from recon.priors.guidance import ClassifierFree, Guidance
from recon.priors.movie_cascade import MovieCascade, save_movie_cascade
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.spectrum import cosine_transform
from recon.priors.text import TextEncoder
from recon.types import Caption


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A prior of random weights, which is good for nothing but to see what is done with it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8))
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.1)
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    save_movie_diffusion(model, path, card={})
    return str(path)


METHODS = {
    "egg": lambda d: Egg(d, levels=3, scale=0.3),
    "dps": lambda d: Dps(d, levels=3),
    "diffpir": lambda d: DiffPir(d, levels=2, data=DataStep(steps=2)),
    "plug_and_play": lambda d: PlugAndPlay(d, iterations=2, data=DataStep(steps=2)),
    "split_gibbs": lambda d: SplitGibbs(d, iterations=3, burn=1, rho=0.5, levels=2, langevin=1),
    "red_diff": lambda d: RedDiff(d, iterations=3),
    "sample": lambda d: Sample(d, levels=3),
}


@pytest.mark.parametrize("name", METHODS)
def test_text_changes_what_a_text_conditioned_prior_gives(name: str, weights: str, tmp_path: Path) -> None:
    problem, training = worlds.problem(), worlds.training(tmp_path)

    def movie(denoiser: Diffusion) -> torch.Tensor:
        *_, last = fitted(METHODS[name](denoiser), training)(problem, torch.Generator().manual_seed(0))
        return last.movie

    silent, told = Diffusion(weights), Diffusion(weights, Typed("a large disc moves to the left"))
    assert not torch.allclose(movie(told), movie(silent), atol=1e-5)
    assert torch.allclose(movie(replace(told, guidance=0.0)), movie(silent), atol=1e-6)


def test_what_a_configuration_names_is_what_is_loaded(weights: str) -> None:
    tree = {"name": "diffpir", "denoiser": {"name": "diffusion", "weights": weights, "window": 6}}
    tree["denoiser"]["text"] = {"name": "typed", "caption": "a disc"}
    method = config.build("method", tree)
    assert method.denoiser == Diffusion(weights, Typed("a disc"), window=6)
    denoiser, condition = conditioned(method.denoiser, worlds.spectrum(), worlds.problem())
    assert isinstance(denoiser, ClassifierFree) and condition is not None and condition.shape == (2, 384)
    assert config.build("method", {"name": "diffpir", "denoiser": {"name": "gaussian"}}).denoiser == GaussianPrior()
    half, _ = conditioned(Diffusion(weights, precision="bfloat16"), worlds.spectrum(), worlds.problem())
    x = torch.rand(1, 1, 8, 6, 8, generator=torch.Generator().manual_seed(0))
    whole, _ = conditioned(Diffusion(weights), worlds.spectrum(), worlds.problem())
    sigma = torch.tensor([0.3])
    assert torch.allclose(half(x, sigma), whole(x, sigma), atol=0.02)


def test_a_prior_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    method = fitted(Egg(Diffusion("nothing")), worlds.training(tmp_path))
    with pytest.raises(ValueError, match="recon train prior"):
        next(method(worlds.problem(), torch.Generator()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Egg(scale=-1.0), "egg: expected scale of at least 0"),
        (lambda: Dps(noise=2.0), "dps: expected beta and trust"),
        (lambda: DiffPir(noise=-1.0), "diffpir: expected noise"),
        (lambda: RedDiff(beta=-1.0), "red_diff: expected beta"),
        (lambda: Sample(noise=2.0), "sample: expected noise"),
        (lambda: Posterior(Sample(), 1), "posterior: expected at least 2"),
        (lambda: DiffPir(lowest=0.0), "levels: expected at least 1"),
        (lambda: PlugAndPlay(sigma=0.0), "plug_and_play: expected at least 1 iteration"),
        (lambda: SplitGibbs(burn=200), "split_gibbs: expected burn below iterations"),
        (lambda: DataStep(steps=0), "data step: expected at least 1 step"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_the_pull_is_the_gradient_of_the_misfit_in_the_noisy_movie(tmp_path: Path) -> None:
    """Against finite differences along a random direction."""
    problem = worlds.problem()
    denoiser, _ = conditioned(GaussianPrior(), worlds.spectrum(), worlds.problem())
    generator = torch.Generator().manual_seed(3)
    x, direction = (torch.randn(problem.shape, generator=generator) for _ in range(2))
    x, sigma = 0.5 + 0.2 * x, torch.full((2,), 0.2)
    pull = pulled(problem, denoiser, x, sigma, None)
    near = 1e-2 * direction
    change = (problem.energy(denoiser(x + near, sigma)) - problem.energy(denoiser(x - near, sigma))) / 2
    assert torch.allclose((pull.gradient * near).flatten(1).sum(1), change, rtol=0.02)


def test_noise_that_is_drawn_anew_keeps_its_level() -> None:
    generator = torch.Generator().manual_seed(4)
    clean = torch.zeros(1, 1, 50, 40, 40)
    x = torch.randn(clean.shape, generator=generator)
    for noise in (0.0, 0.5, 1.0):
        assert float(renoised(x, clean, (1.0, 0.3), noise=noise, generator=generator).std()) == pytest.approx(
            0.3, rel=0.02
        )
    assert torch.equal(renoised(x, clean, (1.0, 0.3), noise=0.0, generator=generator), 0.3 * x)


def test_the_mean_of_samples_is_nearer_to_the_map_movie_than_one(tmp_path: Path) -> None:
    problem, training = worlds.problem(), worlds.training(tmp_path)
    known = fitted(Gradient(30, "spectrum", Lbfgs(), prior=1.0), training)
    *_, best = known(problem, torch.Generator())

    def distance(samples: int) -> float:
        inner = DiffPir(levels=6)
        method = fitted(inner if samples == 1 else Posterior(inner, samples), training)
        *_, last = method(problem, torch.Generator().manual_seed(0))
        assert (last.uncertainty is not None) == (samples > 1)
        return float(((last.movie - best.movie) ** 2).mean())

    assert distance(8) < 0.7 * distance(1)


def test_what_is_said_of_a_clip_reaches_the_denoiser_scene_by_scene(weights: str, tmp_path: Path) -> None:
    said = (Caption(0, 6, ("a disc moves to the left", "a disc travels to the left")), Caption(6, 10, ("leaves",)))
    problem = replace(worlds.problem(2), captions=(said, said[:1]))
    condition = conditioned(Diffusion(weights, Given()), worlds.spectrum(), problem).condition
    assert condition is not None and condition.shape == (2, worlds.FRAMES, 384)
    expected = torch.nn.functional.normalize(TextEncoder()(list(said[0].texts)).mean(0), dim=0)
    assert torch.allclose(condition[0, 3], expected, atol=1e-5) and torch.equal(condition[0, :6], condition[1, :6])
    assert torch.allclose(condition[0, 7], TextEncoder()(["leaves"])[0], atol=1e-5)
    assert bool(condition[0, 10:].isnan().all()) and bool(condition[1, 6:].isnan().all())
    swapped = problem.sample(torch.tensor([1, 0]))
    assert swapped.captions == (said[:1], said)
    with pytest.raises(ValueError, match="text given: expected captions"):
        conditioned(Diffusion(weights, Given()), worlds.spectrum(), worlds.problem())


def test_a_cascade_is_told_every_word_frame_by_frame(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        coarse = CoarseDiffusion(CoarseUnetSettings(widths=(8, 16), depths=(1, 1), heads=2, words=8, steering=8))
        fine = MovieDiffusion(MovieUnetSettings(widths=(4, 6), depth=1, steering=8, inputs=3))
        model = MovieCascade(coarse, fine)
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.1)
    path = str(tmp_path / "cascade.safetensors")
    save_movie_cascade(model, Path(path), card={})
    said = (Caption(0, 6, ("a disc moves to the left", "a disc travels")), Caption(6, 10, ("leaves",)))
    problem = replace(worlds.problem(2), captions=(said, said[:1]))
    condition = conditioned(Diffusion(path, Given()), worlds.spectrum(), problem).condition
    assert condition is not None and condition.shape == (2, worlds.FRAMES, 384 * (1 + TOKENS))
    first = model.embed([said[0].texts[0]])[0]
    assert torch.equal(condition[0, 3].nan_to_num(9.0), first.nan_to_num(9.0)) and bool(condition[0, 10:].isnan().all())
    told = Diffusion(path, Given(), Guidance(3.0, between=(0.1, 1.0), seen=1.0), window=8)
    training, made = worlds.training(tmp_path), METHODS["egg"]
    movies = [
        last_iterate(fitted(made(d), training)(problem, torch.Generator().manual_seed(0))).movie
        for d in (told, replace(told, text=None))
    ]
    assert bool(torch.isfinite(movies[0]).all()) and not torch.equal(*movies)


def test_without_activity_the_guess_stands_and_no_encoder_is_asked(tmp_path: Path) -> None:
    problem, guess = worlds.problem(), worlds.movies(2, seed=3)
    moved, terms = DataStep(beta=0.0)(problem, guess, worlds.spectrum().power)
    assert torch.equal(moved, guess) and problem.meter.frames == 0 and float(terms["misfit"].sum()) == 0
    training = worlds.training(tmp_path)
    for off in (RedDiff(iterations=3, beta=0.0), Dps(levels=3, beta=0.0), Egg(levels=3, scale=0.0)):
        list(fitted(off, training)(problem, torch.Generator().manual_seed(0)))
        assert problem.meter.frames == 0


def test_samples_of_the_wiener_prior_have_its_spectrum(tmp_path: Path) -> None:
    """Drawn with the exact denoiser, cosine coefficients vary as the spectrum says."""
    problem, training = worlds.problem(2), worlds.training(tmp_path)
    method = fitted(Sample(levels=60, highest=5.0, lowest=0.003, noise=0.0), training)
    spectrum = load_spectrum(method.artefact, problem.device, method="sample")
    each = problem.sample(torch.zeros(64, dtype=torch.long))
    *_, last = method(each, torch.Generator().manual_seed(0))
    drawn = cosine_transform(last.state["variable"] - spectrum.mean).square().mean((0, 1))
    large = spectrum.power > spectrum.power.flatten().quantile(0.8)
    assert float((drawn[large] / spectrum.power[large]).mean()) == pytest.approx(1, abs=0.1)
