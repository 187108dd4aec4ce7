"""Pretrained pipelines as priors: estimates equal those of diffusers, on tiny models with random weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from worlds import linear as worlds
from worlds import pipelines as tiny_pipelines

from recon import config
from recon.methods import Dps, Egg, Sample, fitted
from recon.methods.diffusion.priors import Given, Pretrained, Typed
from recon.priors.guidance import ClassifierFree
from recon.priors.latent_diffusion import Framing, LatentDiffusion, load_latent_diffusion, smoothed
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.schedules import schedule_of
from recon.types import Caption, Iterate

needs_accelerate = pytest.mark.skipif(find_spec("accelerate") is None, reason="needs the package accelerate")
KINDS = [
    pytest.param(kind, marks=[needs_accelerate] if kind == "transformer_video" else []) for kind in tiny_pipelines.KINDS
]
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


@pytest.mark.parametrize("model", KINDS, indirect=True)
def test_movies_become_latents_and_movies_of_the_same_shape(model: LatentDiffusion) -> None:
    x = model.encode(movies())
    assert model.decode(x).shape == (2, 1, *SHAPE) and bool(torch.isfinite(model.decode(x)).all())
    assert x.shape[2] == (7 if model.framing.every == 1 else {0: 4, 4: 2}[model.pipeline.family.stride])
    assert not any(parameter.requires_grad for parameter in model.parameters()) and not model.training


@pytest.mark.parametrize("model", KINDS, indirect=True)
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


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_what_one_step_of_the_pipeline_itself_gives(kind: str) -> None:
    """One deterministic step from the highest noise level to zero ends at the clean estimate."""
    model = load_latent_diffusion(tiny_pipelines.folder(kind), scale=2)
    pipe, video = model.pipeline.pipe, model.pipeline.family.video
    x = torch.randn(
        1, len(model.pipeline.get_buffer("offset")), 5 if video else 1, 8, 8, generator=torch.Generator().manual_seed(6)
    )
    side = 8 * model.pipeline.pixels_per_latent
    asked = {"height": side, "width": side, "num_inference_steps": 1, "guidance_scale": 1.0, "output_type": "latent"}
    if model.pipeline.schedule.predicts == "flow_prediction":
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
        pipe.scheduler.sigma_max = 0.6
        time = 3 * 0.6 / (1 + 2 * 0.6)
        signal, sigma = 1 - time, time / (1 - time)
        asked |= {"sigmas": [0.6]} if kind == "flow_image" else {"num_frames": 17, "max_sequence_length": 512}
    else:
        plain = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True}
        pipe.scheduler = diffusers.DDIMScheduler.from_config(
            pipe.scheduler.config, rescale_betas_zero_snr=False, **plain
        )
        kept = float(pipe.scheduler.alphas_cumprod[-1])
        signal, sigma = kept**0.5, ((1 - kept) / kept) ** 0.5
        model.pipeline.schedule = schedule_of(pipe.scheduler)
        asked |= {"num_frames": 5} if video else {}
    pipe.set_progress_bar_config(disable=True)
    found = pipe("a b", latents=x if video else x[:, :, 0], **asked)
    expected = found.frames if video else found.images[:, :, None]
    estimate = model(x / signal, torch.tensor([sigma]), model.embed(["a b"]))
    assert torch.allclose(estimate, expected, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("step", [0, 300, 998])
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
def test_a_network_that_knows_the_noise_gives_back_the_clean_latents(predicts: str, step: int, model_of_noise) -> None:
    """Against the scheduler's own noise and velocity, at its own steps."""
    model, answer = model_of_noise
    scheduler = diffusers.DDIMScheduler(prediction_type=predicts, rescale_betas_zero_snr=predicts == "v_prediction")
    model.pipeline.schedule = schedule_of(scheduler)
    clean, noise = (torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (7, 8))
    at = torch.full((2,), step)
    moved = scheduler.add_noise(clean, noise, at)
    answers = {"epsilon": noise, "v_prediction": scheduler.get_velocity(clean, noise, at), "sample": clean}
    kept = scheduler.alphas_cumprod[step]
    answer.update(expected=moved, time=float(step), given=answers[predicts])
    estimate = model(moved / kept.sqrt(), ((1 - kept) / kept).sqrt().expand(2))
    assert torch.allclose(estimate, clean, atol=1e-3 + 3e-6 / float(kept))


@pytest.mark.parametrize("index", [0, 500, 999])
def test_a_network_that_knows_the_flow_gives_back_the_clean_latents(index: int, model_of_noise) -> None:
    """At the scheduler's shifted steps; t = 1 (no signal) has no representation clean + σ·noise and is replaced."""
    model, answer = model_of_noise
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    model.pipeline.schedule = schedule_of(scheduler)
    time = float(scheduler.sigmas[index]) if index else 0.99
    clean, noise = (torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (7, 8))
    moved = (1 - time) * clean + time * noise
    answer.update(expected=moved, time=1000 * time, given=noise - clean)
    estimate = model(moved / (1 - time), torch.full((2,), time / (1 - time)))
    assert torch.allclose(estimate, clean, atol=1e-4)


@pytest.fixture
def model_of_noise(monkeypatch: pytest.MonkeyPatch) -> tuple[LatentDiffusion, dict[str, object]]:
    """A model whose network checks its inputs and returns a preset prediction."""
    model = load_latent_diffusion(tiny_pipelines.folder("image"), at_once=16)
    answer: dict[str, object] = {}

    def known(x: Tensor, time: Tensor, **_: object) -> SimpleNamespace:
        assert torch.allclose(x, answer["expected"].transpose(1, 2).flatten(0, 1), atol=1e-4)
        assert torch.allclose(time, torch.full((6,), answer["time"]), atol=0.1)
        return SimpleNamespace(sample=answer["given"].transpose(1, 2).flatten(0, 1))

    monkeypatch.setattr(model.pipeline.pipe.unet, "forward", known)
    return model, answer


@pytest.mark.parametrize("model", KINDS, indirect=True)
@torch.no_grad()
def test_samples_do_not_influence_each_other(model: LatentDiffusion) -> None:
    x, told = noised(model), model.embed(["a b", "b"])
    both = model(x, SIGMA, told)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.allclose(model(x[one], SIGMA[one], told[one]), both[one], atol=1e-4)
        assert torch.allclose(model.decode(x[one]), model.decode(x)[one], atol=1e-4)


@pytest.mark.parametrize("model", KINDS, indirect=True)
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
def test_several_tensors_of_a_text_travel_as_one(model: LatentDiffusion) -> None:
    pipe = model.pipeline.pipe
    tokens, _, pooled, _ = pipe.encode_prompt(["a b"], do_classifier_free_guidance=False)
    found = model.pipeline._texts(model.embed(["a b"]))
    assert torch.equal(found[0], tokens) and torch.equal(found[1], pooled)
    assert not bool(model.embed([""]).any()), "Stable Diffusion XL was trained with zeros for no text"
    with pytest.raises(ValueError, match=r"condition: expected \(2, 134\), got \(2, 3\); take this prior's embed"):
        model(noised(model), SIGMA, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="expected a sequence of strings"):
        model.embed("a b")


@pytest.mark.parametrize("model", [KINDS[3], KINDS[6]], indirect=True)
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


def test_weights_that_cannot_be_had_are_an_error_and_never_random(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got .*nothing.* which is not available .*; download it and pass its folder"):
        load_latent_diffusion(tmp_path / "nothing")
    shutil.copytree(tiny_pipelines.folder("image"), tmp_path / "part")
    for file in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        path = tmp_path / "part" / file
        tensors = load_file(path)
        lost = max(tensors)
        save_file({name: value for name, value in tensors.items() if name != lost}, path, {"format": "pt"})
        with pytest.raises(ValueError, match=f"the weights of {path.parent.name} lack {lost}.*; download it"):
            load_latent_diffusion(tmp_path / "part")
        path.unlink()
        with pytest.raises(ValueError, match="not available"):
            load_latent_diffusion(tmp_path / "part")
        shutil.copy(Path(tiny_pipelines.folder("image")) / file, path)


def test_other_pipelines_and_schedules_are_refused(tmp_path: Path) -> None:
    for index, message in (
        ({"_class_name": "FluxPipeline"}, r"expected one of StableDiffusionPipeline, .*, got FluxPipeline"),
        ({"_class_name": "WanPipeline", "transformer_2": ["diffusers", "X"]}, "expected one network"),
    ):
        (tmp_path / "model_index.json").write_text(json.dumps({"_diffusers_version": "0.42.0", **index}))
        with pytest.raises(ValueError, match=message):
            load_latent_diffusion(tmp_path)
    shutil.copytree(tiny_pipelines.folder("image"), tmp_path / "other")
    diffusers.EDMEulerScheduler().save_pretrained(tmp_path / "other" / "scheduler")
    index = json.loads((tmp_path / "other" / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EDMEulerScheduler"]
    (tmp_path / "other" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"^scheduler: expected one that knows ā .* got EDMEulerScheduler"):
        load_latent_diffusion(tmp_path / "other")


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    monkeypatch.setattr("recon.priors.pipeline_files.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"WanPipeline needs the package accelerate.*pip install 'recon\[diffusion\]'"):
        load_latent_diffusion(tmp_path)


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


def test_a_configuration_names_a_prior(tmp_path: Path) -> None:
    tree = {"name": "latent_diffusion", "source": tiny_pipelines.folder("image"), "scale": 2, "shape": [7, 9, 14]}
    assert config.build("prior", tree).framing == Framing(SHAPE, 2)
    save_movie_diffusion(MovieDiffusion(MovieUnetSettings(widths=(4,))), tmp_path / "tiny.safetensors", card={})
    named = {"name": "movie_diffusion", "weights": str(tmp_path / "tiny.safetensors"), "window": 8}
    assert config.build("prior", named).window == 8
    with pytest.raises(ValueError, match="prior: weights: expected a diffusion prior of movies"):
        config.build("prior", {"name": "movie_diffusion", "weights": "nothing"})


@pytest.mark.parametrize("sampler", [Dps, Egg, Sample])
def test_samplers_work_in_latent_space(sampler: type[Dps], tmp_path: Path) -> None:
    """With random weights: every sample has a data gradient, text changes the result, movies stay finite."""
    problem, training = worlds.problem(), worlds.training(tmp_path)

    def movies(text: Typed | Given | None) -> list[Iterate]:
        prior = Pretrained(tiny_pipelines.folder("image"), text, guidance=1.5, scale=2)
        said = replace(problem, captions=((Caption(0, 4, ("b", "a")), Caption(4, 8, ("a",))),) * 2)
        method = fitted(sampler(prior, levels=3, highest=10.0), training)
        return list(method(said, torch.Generator().manual_seed(0)))

    found = movies(Typed("a b"))
    assert found[-1].movie.shape == problem.shape and bool(torch.isfinite(found[-1].movie).all())
    if sampler is not Sample:
        assert float(found[-1].terms["gradient_norm"].min()) > 0
    assert not torch.equal(found[-1].movie, movies(None)[-1].movie)
    assert torch.equal(movies(Given())[-1].movie, movies(Typed("b. a"))[-1].movie)
