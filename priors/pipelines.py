"""Text-to-image and text-to-video diffusers pipelines as modules: text, network, autoencoder, noise levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import InputError
from recon.priors.autoencoder import downsampling, latent_means
from recon.priors.schedules import schedule_of

Texts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Family:
    """Text embedding and network call of one pipeline class.

    `video`: the network processes clips, not single frames. `stride`: frames per latent of a video autoencoder, whose
    first latent is a single frame (0: an image autoencoder, frame by frame).
    """

    network: str
    embedded: Callable[[Any, list[str]], Texts]
    predicted: Callable[[Any, Tensor, Tensor, Texts], Tensor]
    video: bool = False
    stride: int = 0


def _one_text(pipe: Any, texts: list[str]) -> Texts:
    return (pipe.encode_prompt(texts, pipe.device, 1, False)[0],)


def _two_texts(pipe: Any, texts: list[str]) -> Texts:
    """Stable Diffusion XL; as in its pipeline, empty texts are zeros if the model was trained so."""
    tokens, _, pooled, _ = pipe.encode_prompt(texts, device=pipe.device, do_classifier_free_guidance=False)
    if not pipe.config.force_zeros_for_empty_prompt:
        return tokens, pooled
    nonempty = torch.tensor([bool(text) for text in texts], device=tokens.device)
    return tokens * nonempty[:, None, None], pooled * nonempty[:, None]


def _three_texts(pipe: Any, texts: list[str]) -> Texts:
    tokens, _, pooled, _ = pipe.encode_prompt(texts, None, None, do_classifier_free_guidance=False)
    return tokens, pooled


def _long_text(pipe: Any, texts: list[str]) -> Texts:
    """Wan was trained with 512 tokens, zero-padded; its `encode_prompt` defaults to fewer."""
    return (pipe.encode_prompt(texts, do_classifier_free_guidance=False, max_sequence_length=512)[0],)


def _unet(pipe: Any, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
    found: Tensor = pipe.unet(x, time, encoder_hidden_states=texts[0]).sample
    return found


def _unet_of_size(pipe: Any, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
    """Size conditioning of SDXL: original and target size are the size in pixels, the crop offset is zero."""
    height, width = (side * pipe.vae_scale_factor for side in x.shape[-2:])
    sizes = x.new_tensor([height, width, 0, 0, height, width]).expand(len(x), -1)
    added = {"text_embeds": texts[1], "time_ids": sizes}
    found: Tensor = pipe.unet(x, time, encoder_hidden_states=texts[0], added_cond_kwargs=added).sample
    return found


def _unet_of_motion(pipe: Any, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
    found: Tensor = pipe.unet(x, time, encoder_hidden_states=texts[0].repeat_interleave(x.shape[2], 0)).sample
    return found


def _pooled_transformer(pipe: Any, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
    conditions = {"encoder_hidden_states": texts[0], "pooled_projections": texts[1]}
    found: Tensor = pipe.transformer(hidden_states=x, timestep=time, **conditions).sample
    return found


def _transformer(pipe: Any, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
    found: Tensor = pipe.transformer(hidden_states=x, timestep=time, encoder_hidden_states=texts[0]).sample
    return found


FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family("unet", _one_text, _unet),
    "StableDiffusionXLPipeline": Family("unet", _two_texts, _unet_of_size),
    "StableDiffusion3Pipeline": Family("transformer", _three_texts, _pooled_transformer),
    "TextToVideoSDPipeline": Family("unet", _one_text, _unet, video=True),
    "AnimateDiffPipeline": Family("unet", _one_text, _unet_of_motion, video=True),
    "WanPipeline": Family("transformer", _long_text, _transformer, video=True, stride=4),
}
"""Families by pipeline class, as named in model_index.json."""


class Pipeline(nn.Module):
    """A diffusers pipeline: texts to conditions, pixels to latents and back, and the network's prediction.

    Latents `[B,D,T',h,w]` are normalised for the network: (mean − offset) / width. Image networks and autoencoders
    process `at_once` frames per batch, those of videos one clip. `recompute` enables activation checkpointing (Chen et
    al. 2016).
    """

    def __init__(self, pipe: Any, family: Family, *, at_once: int = 8, recompute: bool = True) -> None:
        super().__init__()
        if at_once < 1:
            raise InputError(f"at_once: expected at least 1 frame, got {at_once}; raise it")
        self.pipe, self.family, self.at_once, self.recompute = pipe, family, at_once, recompute
        self.parts = nn.ModuleDict({k: part for k, part in pipe.components.items() if isinstance(part, nn.Module)})
        self.schedule = schedule_of(pipe.scheduler)
        config = pipe.vae.config
        channels = int(config.get("latent_channels") or config.get("z_dim"))
        offset = config.get("latents_mean") or [config.get("shift_factor") or 0.0] * channels
        width = torch.tensor(config.get("latents_std") or [1.0] * channels) / (config.get("scaling_factor") or 1.0)
        self.register_buffer("offset", torch.tensor(offset).reshape(-1, 1, 1, 1))
        self.register_buffer("width", width.reshape(-1, 1, 1, 1))
        silent = self._embedded([""])
        self.shapes = [text.shape[1:] for text in silent]
        self.register_buffer("silent", _flat(silent))

    @property
    def network(self) -> Any:
        """The U-Net or transformer, a diffusers model."""
        return self.parts[self.family.network]

    @property
    def autoencoder(self) -> Any:
        """The autoencoder, a diffusers model."""
        return self.parts["vae"]

    @property
    def multiple(self) -> int:
        """Pixels of which height and width must be multiples."""
        patch = self.network.config.get("patch_size") or 1
        return self.pixels_per_latent * int(patch if isinstance(patch, int) else patch[-1])

    @property
    def pixels_per_latent(self) -> int:
        """Pixels per latent along each axis."""
        vae = self.autoencoder
        return int(vae.config.scale_factor_spatial) if self.family.stride else downsampling(vae)

    def embed(self, texts: list[str]) -> Tensor:
        """Return the conditions `[K,D]` of captions: all text tensors of the pipeline, flattened into rows.

        Texts are truncated as in the pipeline (for CLIP, at 77 tokens).
        """
        return _flat(self._embedded(texts)) if texts else self.get_buffer("silent")[:0]

    def predict(self, x: Tensor, time: Tensor, condition: Tensor | None) -> Tensor:
        """Return the network's prediction for x_t `[B,D,T',h,w]` at times `[B]`.

        A NaN row of `condition`, or None, is the empty text.
        """
        silent = self.get_buffer("silent").expand(len(x), -1)
        prompts = silent if condition is None else condition.to(silent)
        if prompts.shape != silent.shape:
            raise InputError(
                f"condition: expected {tuple(silent.shape)}, got {tuple(prompts.shape)}; take this prior's embed(texts)"
            )
        prompts = torch.where(prompts.isnan().any(1, keepdim=True), silent, prompts)
        longest = self.network.config.get("motion_max_seq_length") or x.shape[2]
        if self.family.video and x.shape[2] > longest:
            raise InputError(f"latents: expected at most {longest} frames at once, got {x.shape[2]}; lower the window")
        rows = x if self.family.video else _folded(x)
        owners = torch.arange(len(x), device=x.device).repeat_interleave(len(rows) // len(x))
        precision = self.network.dtype

        def predicted(part: Tensor, owner: Tensor) -> Tensor:
            texts = self._texts(prompts[owner].to(precision))
            return self.family.predicted(self.pipe, part.to(precision), time[owner], texts).to(part.dtype)

        found = self._in_parts(predicted, rows, owners, at_once=1 if self.family.video else self.at_once)
        return found if self.family.video else _unfolded(found, len(x))

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images `[B,3,T,h,w]` in [−1,1]."""
        latents = self._coded(lambda part: latent_means(self.autoencoder, part), images)
        return (latents - self.get_buffer("offset")) / self.get_buffer("width")

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images `[B,3,T,h,w]` of latents."""
        scaled = latents * self.get_buffer("width") + self.get_buffer("offset")
        return self._coded(lambda part: self.autoencoder.decode(part).sample, scaled)

    def _coded(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        precision = self.autoencoder.dtype

        def coded(part: Tensor) -> Tensor:
            return function(part.to(precision)).to(part.dtype)

        if self.family.stride:
            return self._in_parts(coded, x, at_once=1)
        return _unfolded(self._in_parts(coded, _folded(x), at_once=self.at_once), len(x))

    def _in_parts(self, function: Callable[..., Tensor], *tensors: Tensor, at_once: int) -> Tensor:
        parts = zip(*(torch.split(tensor, at_once) for tensor in tensors), strict=True)
        if not (self.recompute and torch.is_grad_enabled()):
            return torch.cat([function(*part) for part in parts])
        again: Any = partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(*part) for part in parts])

    @torch.no_grad()
    def _embedded(self, texts: list[str]) -> Texts:
        return self.family.embedded(self.pipe, texts)

    def _texts(self, condition: Tensor) -> Texts:
        flat = torch.split(condition, [prod(shape) for shape in self.shapes], dim=1)
        return tuple(part.reshape(-1, *shape) for part, shape in zip(flat, self.shapes, strict=True))


def _flat(texts: Texts) -> Tensor:
    return torch.cat([text.flatten(1).float() for text in texts], dim=1)


def _folded(x: Tensor) -> Tensor:
    """Return the frames `[B·T,D,h,w]` of clips `[B,D,T,h,w]`."""
    return rearrange(x, "b d t h w -> (b t) d h w")


def _unfolded(frames: Tensor, clips: int) -> Tensor:
    return rearrange(frames, "(b t) d h w -> b d t h w", b=clips)
