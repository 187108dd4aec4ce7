"""Pretrained pipelines as priors of movies, on tiny models with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import linear as worlds
from worlds import pipelines as tiny_pipelines

from recon.methods import Dps, Egg, Sample, fitted
from recon.methods.text.sources import Given, Typed
from recon.priors.guidance import ClassifierFree, Guidance
from recon.priors.latent_diffusion import Framing, LatentDiffusion, Pretrained, load_latent_diffusion, smoothed
from recon.types import Caption, Iterate

SHAPE = (7, 9, 14)
SIGMA = torch.tensor([0.5, 3.0])


@pytest.fixture(scope="module")
def models() -> dict[str, LatentDiffusion]:
    """Cache of loaded models; every second frame for video models."""
    return {}


@pytest.fixture
def model(request: pytest.FixtureRequest, models: dict[str, LatentDiffusion]) -> LatentDiffusion:
    kind = request.param
    if kind not in models:
        every = 2 if "video" in kind else 1
        models[kind] = load_latent_diffusion(tiny_pipelines.folder(kind), scale=2, every=every).for_movie(SHAPE)
    return models[kind]


def movies(count: int = 2, *, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, *SHAPE, generator=torch.Generator().manual_seed(seed))


def noised(model: LatentDiffusion, *, seed: int = 1) -> Tensor:
    clean = model.encode(movies())
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return clean + SIGMA.reshape(-1, 1, 1, 1, 1) * noise


@pytest.mark.parametrize("model", tiny_pipelines.CASES, indirect=True)
def test_movies_become_latents_and_movies_of_the_same_shape(model: LatentDiffusion) -> None:
    x = model.encode(movies())
    assert model.decode(x).shape == (2, 1, *SHAPE) and bool(torch.isfinite(model.decode(x)).all())
    assert x.shape[2] == (7 if model.framing.every == 1 else {0: 4, 4: 2}[model.pipeline.family.stride])
    assert not any(parameter.requires_grad for parameter in model.parameters()) and not model.training
    pixels = torch.zeros(2, 1, 1, *SHAPE[1:])
    pixels[1, ..., :7] = 1.0
    places = model.at_places(pixels)
    assert places.shape == (2, 1, 1, *x.shape[-2:]) and not bool(places[0].any())
    assert float(places[1, ..., 0].min()) == 1.0 and float(places[1, ..., -1].max()) == 0.0, "left of the frame alone"


@pytest.mark.parametrize("model", tiny_pipelines.CASES, indirect=True)
def test_the_gradient_through_denoiser_and_decoder_is_that_of_finite_differences(model: LatentDiffusion) -> None:
    x, told = noised(model).requires_grad_(), model.embed(["a b", "b"])
    weight, direction = (
        torch.randn(shape, generator=torch.Generator().manual_seed(5)) for shape in ((7, 9, 14), x.shape)
    )
    (gradient,) = torch.autograd.grad((model.decode(model(x, SIGMA, told)) * weight).sum(), x)

    @torch.no_grad()
    def value(share: float) -> float:
        return float((model.decode(model(x + share * direction, SIGMA, told)) * weight).double().sum())

    assert all(float(sample.abs().max()) > 0 for sample in gradient)
    assert float((gradient * direction).sum()) == pytest.approx((value(0.01) - value(-0.01)) / 0.02, rel=0.03)


@pytest.mark.parametrize("model", tiny_pipelines.CASES, indirect=True)
@torch.no_grad()
def test_samples_do_not_influence_each_other(model: LatentDiffusion) -> None:
    x, told = noised(model), model.embed(["a b", "b"])
    both = model(x, SIGMA, told)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.allclose(model(x[one], SIGMA[one], told[one]), both[one], atol=1e-4)
        assert torch.allclose(model.decode(x[one]), model.decode(x)[one], atol=1e-4)


@pytest.mark.parametrize("model", tiny_pipelines.CASES, indirect=True)
@torch.no_grad()
def test_text_is_embedded_the_same_every_time_and_counts(model: LatentDiffusion) -> None:
    first, again, other = model.embed(["a b", "a b", "b"])
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert model.embed([]).shape == (0, len(first))
    x, silent = noised(model), model.embed(["", ""])
    plain, told = model(x, SIGMA), model(x, SIGMA, torch.stack([first, other]))
    missing = torch.stack([first, torch.full_like(first, torch.nan)])
    assert torch.allclose(model(x, SIGMA, silent), plain, atol=1e-5)
    assert torch.allclose(model(x, SIGMA, missing), torch.stack([told[0], plain[1]]), atol=1e-4)
    condition = torch.stack([first, other])
    assert torch.equal(ClassifierFree(model, 0.0)(x, SIGMA, condition), plain)
    assert torch.equal(ClassifierFree(model, 1.0)(x, SIGMA, condition), told)
    assert torch.allclose(ClassifierFree(model, 2.0)(x, SIGMA, condition), 2 * told - plain, atol=1e-3)
    assert not torch.allclose(told, plain, atol=1e-6)


@pytest.mark.parametrize("model", ["large_image"], indirect=True)
def test_several_tensors_of_a_text_travel_as_one(model: LatentDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, heard = model.pipeline.pipe, []
    tokens, _, pooled, _ = pipe.encode_prompt(["a b"], do_classifier_free_guidance=False)
    forward = pipe.unet.forward

    def seen(*arguments: Any, **told: Any) -> Any:
        heard.append((told["encoder_hidden_states"], told["added_cond_kwargs"]["text_embeds"]))
        return forward(*arguments, **told)

    monkeypatch.setattr(pipe.unet, "forward", seen)
    model(noised(model)[:1], SIGMA[:1], model.embed(["a b"]))
    assert heard and all(torch.equal(found[0][:1], tokens) and torch.equal(found[1][:1], pooled) for found in heard)
    assert not bool(model.embed([""]).any()), "Stable Diffusion XL was trained with zeros for no text"
    with pytest.raises(ValueError, match=r"condition: expected \(2, 134\), got \(2, 3\); take this prior's embed"):
        model(noised(model), SIGMA, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="expected a sequence of strings"):
        model.embed("a b")


@pytest.mark.parametrize("model", [tiny_pipelines.CASES[3], tiny_pipelines.CASES[6]], indirect=True)
@torch.no_grad()
def test_latents_are_normalised_as_the_network_wants_them(model: LatentDiffusion) -> None:
    images, vae = torch.rand(1, 3, 5, 16, 16, generator=torch.Generator().manual_seed(9)), model.pipeline.pipe.vae
    if model.pipeline.family.stride:
        means = vae.encode(images).latent_dist.mean
        mean, std = (torch.tensor(vae.config[key]).reshape(1, 3, 1, 1, 1) for key in ("latents_mean", "latents_std"))
        expected, back = (means - mean) / std, vae.decode(means).sample
    else:
        means = torch.stack([vae.encode(frame).latent_dist.mean for frame in images.unbind(2)], 2)
        expected = (means - 0.3) * 1.5
        back = torch.stack([vae.decode(frame).sample for frame in means.unbind(2)], 2)
    assert torch.allclose(model.pipeline.encode(images), expected, atol=1e-5)
    assert torch.allclose(model.pipeline.decode(expected), back, atol=1e-4)


@pytest.mark.parametrize("model", ["image", "video"], indirect=True)
def test_parts_and_what_is_computed_again_change_nothing(model: LatentDiffusion) -> None:
    x, results = noised(model).requires_grad_(), []
    for at_once, recompute in ((64, False), (3, False), (3, True)):
        other = load_latent_diffusion(
            tiny_pipelines.folder("video" if model.pipeline.family.video else "image"),
            scale=2,
            every=model.framing.every,
            at_once=at_once,
            recompute=recompute,
            shape=SHAPE,
        )
        movie = other.decode(other(x, SIGMA))
        results.append((movie.detach(), torch.autograd.grad(movie.square().sum(), x)[0]))
    for found in results[1:]:
        assert all(torch.allclose(one, two, rtol=1e-4, atol=1e-5) for one, two in zip(found, results[0], strict=True))


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 31])
@pytest.mark.parametrize("every", [1, 3, 4])
@pytest.mark.parametrize("stride", [0, 4])
def test_a_movie_that_changes_evenly_survives_left_out_frames(
    frames: int, every: int, stride: int, monkeypatch: pytest.MonkeyPatch, models: dict[str, LatentDiffusion]
) -> None:
    """With a lossless autoencoder; after the last encoded frame the movie is constant."""
    if "image" not in models:
        models["image"] = load_latent_diffusion(tiny_pipelines.folder("image"), scale=2).for_movie(SHAPE)
    pipeline = models["image"].pipeline
    monkeypatch.setattr(pipeline, "family", replace(pipeline.family, stride=stride))
    monkeypatch.setattr(type(pipeline), "pixels_per_latent", 1)
    monkeypatch.setattr(pipeline, "encode", lambda images: images[:, :, :: stride or 1])
    seen = Framing(every=every).frames(frames, stride)
    assert (seen - 1) * every >= frames - 1 and (not stride or (seen - 1) % stride == 0)
    model = LatentDiffusion(pipeline, Framing((frames, 3, 5), 2, every))
    movie = torch.linspace(0, 1, frames).reshape(1, 1, -1, 1, 1).expand(1, 1, frames, 3, 5)
    x = model.encode(movie)
    assert x.shape[2] == 1 + (seen - 1) // (stride or 1)
    if not stride:
        monkeypatch.setattr(pipeline, "decode", lambda images: images)
        whole = frames - (frames - 1) % every
        assert torch.allclose(model.decode(x)[:, :, :whole], movie[:, :, :whole], atol=1e-6)
        assert torch.equal(model.decode(x)[:, :, -1:] >= movie[:, :, whole - 1 : whole], torch.ones(1, 1, 1, 3, 5) > 0)


@pytest.mark.parametrize("model", ["image"], indirect=True)
@torch.no_grad()
def test_consistency_alone_joins_the_frames_of_an_image_model(model: LatentDiffusion) -> None:
    x = noised(model)
    changed = x.clone()
    changed[:, :, 4:] = 0
    joined = LatentDiffusion(model.pipeline, replace(model.framing, consistency=3.0))
    assert torch.allclose(model(x, SIGMA)[:, :, :4], model(changed, SIGMA)[:, :, :4], atol=1e-5)
    assert not torch.allclose(joined(x, SIGMA)[:, :, :4], joined(changed, SIGMA)[:, :, :4], atol=1e-3)
    assert torch.equal(joined(x, SIGMA), smoothed(model(x, SIGMA), SIGMA, 3.0))


def test_consistency_is_the_least_squares_that_it_says() -> None:
    clean = torch.randn(2, 3, 6, 4, 5, generator=torch.Generator().manual_seed(2))
    steps = torch.eye(6).diff(dim=0)
    for index, sigma in enumerate(SIGMA):
        uncertain = sigma**2 / (1 + sigma**2)
        system = torch.eye(6) + uncertain * 2.5**2 * steps.T @ steps
        expected = torch.linalg.solve(system, clean[index].transpose(0, 1).flatten(1)).reshape(6, 3, 4, 5)
        assert torch.allclose(smoothed(clean, SIGMA, 2.5)[index].transpose(0, 1), expected, atol=1e-5)
    assert torch.equal(smoothed(clean, SIGMA, 0.0), clean)
    assert torch.allclose(smoothed(clean, torch.tensor([1e-3, 1e-3]), 2.5), clean, atol=1e-4)


@pytest.mark.parametrize("model", ["video", "animated"], indirect=True)
@torch.no_grad()
def test_windows_are_those_of_latents(model: LatentDiffusion) -> None:
    x = torch.randn(2, 4, 40, 4, 4, generator=torch.Generator().manual_seed(3))
    by_parts = LatentDiffusion(model.pipeline, replace(model.framing, window=8))
    assert by_parts(x, SIGMA).shape == x.shape
    assert torch.equal(by_parts(x[:, :, :8], SIGMA), model(x[:, :, :8], SIGMA))
    if "motion_max_seq_length" in model.pipeline.pipe.unet.config:
        with pytest.raises(ValueError, match="expected at most 32 frames at once, got 40; lower the window"):
            model(x, SIGMA)


@pytest.mark.parametrize("model", ["image"], indirect=True)
def test_what_does_not_fit_is_refused(model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=r"expected \[B,1,T,H,W\], got \(2, 3, 7, 9, 14\)"):
        model.encode(movies().expand(-1, 3, -1, -1, -1))
    with pytest.raises(ValueError, match=r"latents: expected \[B,D,7,9,14\] .* take for_movie"):
        model.decode(torch.zeros(1, 4, 7, 8, 8))
    with pytest.raises(ValueError, match="expected the shape of movies, got none"):
        LatentDiffusion(model.pipeline).decode(torch.zeros(1, 4, 7, 8, 8))
    with pytest.raises(ValueError, match="expected window 0 for an image model, got 4"):
        LatentDiffusion(model.pipeline, Framing(window=4))
    with pytest.raises(ValueError, match=r"scale and every of at least 1, .* correct it"):
        Framing(scale=0)
    with pytest.raises(ValueError, match=r"^at_once: expected at least 1"):
        load_latent_diffusion(tiny_pipelines.folder("image"), at_once=0)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_the_global_random_state_is_left_alone(kind: str) -> None:
    before = torch.random.get_rng_state()
    model = load_latent_diffusion(tiny_pipelines.folder(kind), scale=2, shape=SHAPE)
    x = model.encode(movies()).requires_grad_()
    model.decode(model(x, SIGMA, model.embed(["a", "b"]))).sum().backward()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_half_precision_is_near_to_single() -> None:
    whole, half = (
        load_latent_diffusion(tiny_pipelines.folder("image"), scale=2, shape=SHAPE, precision=name)
        for name in ("float32", "bfloat16")
    )
    x, told = noised(whole), whole.embed(["a b", "b"])
    assert half.pipeline.pipe.unet.dtype == torch.bfloat16 and half.pipeline.pipe.vae.dtype == torch.float32
    estimate = half(x, SIGMA, half.embed(["a b", "b"]))
    assert estimate.dtype == torch.float32
    assert torch.allclose(estimate, whole(x, SIGMA, told), atol=0.2)


@pytest.mark.parametrize(
    "sampler", [pytest.param(Dps, marks=pytest.mark.slow), pytest.param(Egg, marks=pytest.mark.slow), Sample]
)
def test_samplers_work_in_latent_space(sampler: type[Dps], tmp_path: Path) -> None:
    """With random weights: every sample has a data gradient, text changes the result, movies stay finite."""
    problem, training = worlds.problem(), worlds.training(tmp_path)

    def movies(text: Typed | Given | None, guidance: float | Guidance = 1.5) -> list[Iterate]:
        prior = Pretrained(tiny_pipelines.folder("image"), text, guidance=guidance, scale=2)
        said = replace(problem, captions=((Caption(0, 4, ("b", "a")), Caption(4, 8, ("a",))),) * 2)
        method = fitted(sampler(prior, levels=3, highest=10.0), training)
        return list(method(said, torch.Generator().manual_seed(0)))

    found = movies(Typed("a b"))
    assert found[-1].movie.shape == problem.shape and bool(torch.isfinite(found[-1].movie).all())
    if sampler is not Sample:
        assert float(found[-1].terms["gradient_norm"].min()) > 0
    assert not torch.equal(found[-1].movie, movies(None)[-1].movie)
    by_place = movies(Typed("a b"), Guidance(1.5, seen=0.0))
    assert bool(torch.isfinite(by_place[-1].movie).all()) and not torch.equal(found[-1].movie, by_place[-1].movie)
    assert torch.equal(movies(Given())[-1].movie, movies(Typed("b. a"))[-1].movie)
