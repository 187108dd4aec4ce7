"""`Autoencoder`, the abstract autoencoder of movies, and image autoencoders applied frame by frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.files.paths import user_path
from recon.files.weights import check_tensors
from recon.priors.variants import weights_variant

Shape = tuple[int, int, int]
"""Frames, height and width of a movie."""


class Autoencoder(nn.Module, ABC):
    """Movie `[B,1,T,H,W]` in [0,1] ↔ latents `[B,D,T',h,w]`; one latent frame covers `stride` movie frames."""

    stride: int = 1

    @abstractmethod
    def encode(self, movie: Tensor) -> Tensor:
        """Return the latents, T' = ⌈T / stride⌉."""

    @abstractmethod
    def decode(self, latents: Tensor, shape: Shape) -> Tensor:
        """Return the movie `[B,1,T,H,W]` of the given shape (T,H,W), unclipped; differentiable."""


class ImageAutoencoder(Autoencoder):
    """An image autoencoder of diffusers (AutoencoderKL, AutoencoderTiny and others), applied frame by frame.

    Grey frames become three equal channels in [−1,1]. They are upsampled by `scale`, because the models are trained on
    larger images, and edge-padded to the model's downsampling factor. Decoding averages the channels. `at_once` is the
    number of frames per batch.
    """

    def __init__(self, model: nn.Module, *, scale: int = 4, at_once: int = 64) -> None:
        super().__init__()
        self.model, self.scale, self.at_once = model, scale, at_once

    def encode(self, movie: Tensor) -> Tensor:
        """Return the latent means, unscaled."""
        frames = rearrange(movie, "b c t h w -> (b t) c h w")
        latents = torch.cat([self._encoded(part) for part in torch.split(frames, self.at_once)])
        return rearrange(latents, "(b t) d h w -> b d t h w", b=len(movie))

    def decode(self, latents: Tensor, shape: Shape) -> Tensor:
        """Return the movie."""
        model: Any = self.model
        flat = rearrange(latents, "b d t h w -> (b t) d h w")
        wide = torch.cat([model.decode(part).sample for part in torch.split(flat, self.at_once)])
        frames = reduced(wide, self.scale, shape[1:])
        return rearrange(frames, "(b t) 1 h w -> b 1 t h w", b=len(latents))

    def _encoded(self, frames: Tensor) -> Tensor:
        return latent_means(self.model, enlarged(frames, self.scale, downsampling(self.model)))


def enlarged(frames: Tensor, scale: int, multiple: int) -> Tensor:
    """Return grey frames `[N,1,H,W]` in [0,1] as RGB images `[N,3,h,w]` in [−1,1] with equal channels.

    Images are upsampled by `scale` and edge-padded below and right to multiples of `multiple` pixels.
    """
    size = [side * scale for side in frames.shape[-2:]]
    wide = functional.interpolate(2 * frames - 1, size, mode="bilinear", align_corners=False)
    padded = functional.pad(wide, (0, -size[1] % multiple, 0, -size[0] % multiple), mode="replicate")
    return padded.expand(-1, 3, -1, -1)


def reduced(images: Tensor, scale: int, size: Sequence[int]) -> Tensor:
    """Return images `[N,3,h,w]` in [−1,1] as grey frames `[N,1,H,W]` in [0,1] of `size` (H,W): cropped and averaged.

    >>> frames = torch.full((2, 1, 3, 5), 0.25)
    >>> torch.equal(reduced(enlarged(frames, 4, 8), 4, (3, 5)), frames)
    True
    """
    grey = images.mean(1, keepdim=True)[..., : size[0] * scale, : size[1] * scale]
    return functional.avg_pool2d(grey, scale) / 2 + 0.5


def latent_means(model: Any, images: Tensor) -> Tensor:
    """Return the latent means of images or videos from a diffusers autoencoder."""
    found = model.encode(images)
    means: Tensor = found.latent_dist.mean if "latent_dist" in found else found.latents
    return means


def downsampling(model: nn.Module) -> int:
    """Return the spatial downsampling factor of a diffusers autoencoder."""
    config: Any = model.config
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return int(2 ** (len(widths) - 1))


def load_image_autoencoder(source: str | Path, *, scale: int = 4) -> ImageAutoencoder:
    """Return the autoencoder of a folder, a pipeline folder's subfolder `vae`, or a model hub id.

    Raises InputError if it does not exist or its weights are unavailable; weights are never random.
    """
    from diffusers import AutoModel

    folder = user_path(source)
    inside = "vae" if (folder / "vae" / "config.json").is_file() else None
    try:
        with torch.random.fork_rng(devices=[]):
            variant = weights_variant(folder, inside)
            model: Any = AutoModel.from_pretrained(
                str(folder), subfolder=inside, variant=variant, torch_dtype=torch.float32, low_cpu_mem_usage=False
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise InputError(
            f"autoencoder: expected a folder of diffusers weights or a hub's id, got {str(source)!r}, which is not "
            f"available ({' '.join(str(error).split())[:200]}); download it and pass its folder"
        ) from error
    if "encode" not in dir(model) or "decode" not in dir(model):
        raise InputError(f"autoencoder: expected a diffusers autoencoder, got {type(model).__name__}; pass one")
    check_tensors(source, dict(model.named_parameters()))
    return ImageAutoencoder(model.eval().requires_grad_(False), scale=scale)
