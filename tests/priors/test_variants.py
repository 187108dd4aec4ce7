"""Folders that hold half precision only, as hubs offer them, are read as the pipeline that they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from worlds import pipelines as tiny_pipelines

from recon.priors.autoencoder import load_image_autoencoder
from recon.priors.pipeline_files import load_pipeline
from recon.priors.variants import weights_variant


def test_a_pipeline_of_half_precision_only_is_read(tmp_path: Path) -> None:
    import diffusers

    whole = diffusers.StableDiffusionPipeline.from_pretrained(tiny_pipelines.folder("image"))
    whole.to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    names = [file.name for file in (tmp_path / "half").rglob("*.safetensors")]
    assert names and all(".fp16." in name for name in names), "nothing else is there"
    found = load_pipeline(tmp_path / "half")
    stored = load_file(tmp_path / "half/unet/diffusion_pytorch_model.fp16.safetensors")
    for name, value in found.network.state_dict().items():
        torch.testing.assert_close(value, stored[name].float(), rtol=0, atol=0)
    pictures = torch.rand(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = load_pipeline(tiny_pipelines.folder("image")).encode(pictures)
    torch.testing.assert_close(found.encode(pictures), expected, rtol=0.02, atol=0.02)
    encoder = load_image_autoencoder(tmp_path / "half")
    assert next(encoder.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("files", "variant"),
    [
        (["model.safetensors", "model.fp16.safetensors"], None),
        (["model.fp16.safetensors"], "fp16"),
        (["diffusion_pytorch_model.fp16.bin", "config.json"], "fp16"),
        (["model.fp16-00001-of-00002.safetensors", "model.safetensors.index.fp16.json"], "fp16"),
        (["diffusion_pytorch_model-00001-of-00002.fp16.safetensors"], "fp16"),
        (["model-00001-of-00002.safetensors"], None),
        (["model.non_ema.safetensors", "model.bf16.safetensors"], "bf16"),
        ([], None),
    ],
    ids=str,
)
def test_the_variant_is_seen_in_the_folder(files: list[str], variant: str | None, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text(json.dumps({}))
    assert weights_variant(tmp_path) == variant
