"""Tiny random image-to-text models of each family, built from their own configurations and saved to folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    GPT2Config,
    OPTConfig,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

SPECIAL = ("[PAD]", "[BOS]", "[EOS]", "[UNK]", "<image>")
WORDS = ("star", "ring", "leaves", "clouds", "moving", "left", "right", "a")
SIZE = len(SPECIAL) + len(WORDS)
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
VISION = SMALL | {"image_size": 32, "patch_size": 16}


def blip(folder: Path) -> None:
    text = (
        SMALL | IDS | {"vocab_size": SIZE, "encoder_hidden_size": 16, "sep_token_id": 2, "max_position_embeddings": 64}
    )
    config = BlipConfig(text_config=text, vision_config=VISION, projection_dim=16)
    _save(BlipForConditionalGeneration(config), BlipImageProcessor(size={"height": 32, "width": 32}), folder)


def blip2(folder: Path) -> None:
    asked = Blip2QFormerConfig(**SMALL, encoder_hidden_size=16, vocab_size=SIZE)
    words = OPTConfig(
        vocab_size=SIZE, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16,
        max_position_embeddings=64, word_embed_proj_dim=16, **IDS,
    )  # fmt: skip
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION).to_dict(), qformer_config=asked.to_dict(),
        text_config=words.to_dict(),
        num_query_tokens=4, image_token_index=4,
    )  # fmt: skip
    _save(Blip2ForConditionalGeneration(config), BlipImageProcessor(size={"height": 32, "width": 32}), folder)


def git(folder: Path, frames: int | None = None) -> None:
    config = GitConfig(
        vision_config=VISION,
        vocab_size=SIZE,
        max_position_embeddings=64,
        num_image_with_embedding=frames,
        **SMALL,
        **IDS,
    )
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    _save(GitForCausalLM(config), processor, folder)


def git_of_movies(folder: Path) -> None:
    git(folder, frames=3)


def vit_gpt2(folder: Path) -> None:
    words = GPT2Config(
        vocab_size=SIZE,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=64,
        add_cross_attention=True,
        is_decoder=True,
        **IDS,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**VISION), words)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    _save(VisionEncoderDecoderModel(config=config), ViTImageProcessor(size={"height": 32, "width": 32}), folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "blip": blip,
    "blip2": blip2,
    "git": git,
    "git of movies": git_of_movies,
    "vit_gpt2": vit_gpt2,
}


def build(family: str, folder: Path) -> Path:
    """Save a tiny model of a family, deterministically."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        FAMILIES[family](folder)
    return folder


def _save(model: Any, processor: Any, folder: Path) -> None:
    with torch.no_grad():
        for weights in (one for one in model.parameters() if one.ndim > 1):
            weights.mul_(20.0)  # with initial weights all captions are empty
    known = {word: place for place, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]", unk_token="[UNK]",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
