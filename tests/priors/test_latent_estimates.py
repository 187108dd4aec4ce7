"""Pretrained pipelines as denoisers: one step of diffusers' own, and networks that know the answer."""

from __future__ import annotations

from types import SimpleNamespace

import diffusers
import pytest
import torch
from torch import Tensor
from worlds import pipelines as tiny_pipelines

from recon.priors.latent_diffusion import LatentDiffusion, load_latent_diffusion
from recon.priors.schedules import schedule_of


@pytest.mark.parametrize("kind", tiny_pipelines.CASES)
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
