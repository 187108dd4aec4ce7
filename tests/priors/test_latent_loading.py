"""Pretrained pipelines from folders: what is lacking or unknown is refused, and a configuration names one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import pytest
from safetensors.torch import load_file, save_file
from worlds import pipelines as tiny_pipelines

from recon import config
from recon.priors.latent_diffusion import Framing, load_latent_diffusion
from recon.priors.movie_diffusion import MovieDiffusion, save_movie_diffusion
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.still_images import Still


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


def test_a_configuration_names_a_prior(tmp_path: Path) -> None:
    pipeline = config.build("prior", {"name": "pretrained", "source": tiny_pipelines.folder("image"), "scale": 2})
    assert pipeline.denoiser((1, 1, 7, 9, 14), None).framing == Framing((7, 9, 14), 2)
    save_movie_diffusion(MovieDiffusion(MovieUnetSettings(widths=(4,))), tmp_path / "tiny.safetensors", card={})
    named = config.build("prior", {"name": "diffusion", "weights": str(tmp_path / "tiny.safetensors"), "window": 8})
    assert named.denoiser((1, 1, 7, 9, 14), None).window == 8
    assert isinstance(named.denoiser((1, 1, 1, 9, 14), None), Still), "clips of one frame"
    with pytest.raises(ValueError, match="weights: expected a diffusion prior of movies"):
        config.build("prior", {"name": "diffusion", "weights": "nothing"}).denoiser((1, 1, 7, 9, 14), None)
