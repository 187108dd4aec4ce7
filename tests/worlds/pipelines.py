"""Tiny diffusers pipelines with random weights, saved to folders."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tokenizers
import torch
import transformers

WIDTHS: dict[str, Any] = {"block_out_channels": (4, 8), "norm_num_groups": 2, "layers_per_block": 1}
UNET: dict[str, Any] = {"cross_attention_dim": 8, "attention_head_dim": 2, "sample_size": 4, **WIDTHS}
CROSSED = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
TOKENS = 8


def clip_tokenizer(folder: Path) -> Any:
    """Return a tokenizer with letters as tokens."""
    marks = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    words = [*marks, *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    return transformers.CLIPTokenizer(*files, model_max_length=TOKENS)


def clip_text(*, projected: bool = False) -> Any:
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "max_position_embeddings": TOKENS}
    config = transformers.CLIPTextConfig(vocab_size=54, projection_dim=6, **sizes, **marks)
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def image_autoencoder(**config: Any) -> Any:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(**blocks, **WIDTHS, **config)


def words(folder: Path) -> dict[str, Any]:
    return {"tokenizer": clip_tokenizer(folder), "text_encoder": clip_text()}


def image(folder: Path, **scheduler: Any) -> Any:
    off = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    steps = {"beta_schedule": "scaled_linear", "steps_offset": 1, "clip_sample": False}
    noise = diffusers.DDIMScheduler(**steps, **scheduler)
    unet = diffusers.UNet2DConditionModel(**UNET, **CROSSED)
    return diffusers.StableDiffusionPipeline(
        vae=image_autoencoder(), unet=unet, scheduler=noise, **words(folder), **off
    )


def velocity(folder: Path) -> Any:
    """Stable Diffusion 2 predicts v; here also with zero terminal SNR."""
    return image(folder, prediction_type="v_prediction", rescale_betas_zero_snr=True)


def large_image(folder: Path) -> Any:
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    unet = {**UNET, "cross_attention_dim": 16, **CROSSED, **added, "projection_class_embeddings_input_dim": 6 + 24}
    return diffusers.StableDiffusionXLPipeline(
        vae=image_autoencoder(scaling_factor=0.13025),
        unet=diffusers.UNet2DConditionModel(**unet),
        scheduler=diffusers.EulerDiscreteScheduler(),
        text_encoder_2=clip_text(projected=True),
        tokenizer_2=clip_tokenizer(folder),
        **words(folder),
    )


def flow_image(folder: Path) -> Any:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 1, "pos_embed_max_size": 16}
    text = {"joint_attention_dim": 32, "caption_projection_dim": 8, "pooled_projection_dim": 12}
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(sample_size=8, in_channels=4, out_channels=4, **sizes, **text),
        vae=image_autoencoder(scaling_factor=1.5, shift_factor=0.3),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        tokenizer=clip_tokenizer(folder),
        text_encoder=clip_text(projected=True),
        tokenizer_2=clip_tokenizer(folder),
        text_encoder_2=clip_text(projected=True),
        tokenizer_3=None,
        text_encoder_3=None,
    )


def video(folder: Path) -> Any:
    blocks = {
        "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
        "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    }
    return diffusers.TextToVideoSDPipeline(
        vae=image_autoencoder(),
        unet=diffusers.UNet3DConditionModel(**{**UNET, "attention_head_dim": 4}, **blocks),
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
        **words(folder),
    )


def animated(folder: Path) -> Any:
    motion = {"motion_num_attention_heads": 2, "motion_norm_num_groups": 2, "motion_layers_per_block": 1}
    unet = diffusers.UNet2DConditionModel(**UNET, **CROSSED)
    adapter = diffusers.MotionAdapter(block_out_channels=WIDTHS["block_out_channels"], **motion)
    return diffusers.AnimateDiffPipeline(
        vae=image_autoencoder(),
        unet=unet,
        motion_adapter=adapter,
        scheduler=diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False),
        **words(folder),
    )


def transformer_video(folder: Path) -> Any:
    known = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<pad>": 0, "?": 1, "a": 2, "b": 3}, unk_token="?"))
    known.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    text = transformers.UMT5Config(vocab_size=4, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 12, "freq_dim": 8, "ffn_dim": 8, "num_layers": 1}
    latents = {"latents_mean": [0.1, -0.2, 0.3], "latents_std": [1.5, 0.5, 2.0]}
    return diffusers.WanPipeline(
        tokenizer=transformers.PreTrainedTokenizerFast(tokenizer_object=known, pad_token="<pad>", unk_token="?"),
        text_encoder=transformers.UMT5EncoderModel(text),
        transformer=diffusers.WanTransformer3DModel(in_channels=3, out_channels=3, text_dim=8, **sizes),
        vae=diffusers.AutoencoderKLWan(base_dim=4, z_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1, **latents),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


KINDS: dict[str, Callable[[Path], Any]] = {
    "image": image,
    "velocity": velocity,
    "large_image": large_image,
    "flow_image": flow_image,
    "video": video,
    "animated": animated,
    "transformer_video": transformer_video,
}
needs_accelerate = pytest.mark.skipif(find_spec("accelerate") is None, reason="needs the package accelerate")
CASES = [pytest.param(kind, marks=[needs_accelerate] if kind == "transformer_video" else []) for kind in KINDS]
"""Every kind, as a test takes it for a parameter."""


@functools.cache
def folder(kind: str) -> str:
    """Return the folder of a saved pipeline of this kind."""
    place = Path(tempfile.mkdtemp())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        KINDS[kind](place).save_pretrained(place)
    return str(place)
