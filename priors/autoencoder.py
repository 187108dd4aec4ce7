"""What every autoencoder of movies is, and those of images applied frame by frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError

Shape = tuple[int, int, int]
"""Frames, height and width of a movie."""


class Autoencoder(nn.Module, ABC):
    """A movie `[B,1,T,H,W]` in [0,1] to latents `[B,D,T',h,w]` and back; one latent stands for `stride` frames."""

    stride: int = 1

    @abstractmethod
    def encode(self, movie: Tensor) -> Tensor:
        """Return the latents, T' = ⌈T / stride⌉."""

    @abstractmethod
    def decode(self, latents: Tensor, shape: Shape) -> Tensor:
        """Return the movie `[B,1,T,H,W]` of this shape (T,H,W), unclipped; differentiable."""


class ImageAutoencoder(Autoencoder):
    """An image autoencoder of diffusers, frame by frame: AutoencoderKL, AutoencoderTiny and their relatives.

    Grey frames become three equal channels in [−1,1], enlarged `scale` times, so that what the model was trained on
    is not a few pixels wide, and padded by their edge to what it divides by; back it is the mean of the channels.
    """

    def __init__(self, model: nn.Module, *, scale: int = 4, at_once: int = 64) -> None:
        super().__init__()
        self.model, self.scale, self.at_once = model, scale, at_once

    def encode(self, movie: Tensor) -> Tensor:
        """Return the latents' means, divided by nothing: as the model gives them."""
        frames = movie.transpose(1, 2).flatten(0, 1)
        latents = torch.cat([self._encoded(part) for part in torch.split(frames, self.at_once)])
        return latents.reshape(len(movie), movie.shape[2], *latents.shape[1:]).transpose(1, 2)

    def decode(self, latents: Tensor, shape: Shape) -> Tensor:
        """Return the movie."""
        model: Any = self.model
        flat = latents.transpose(1, 2).flatten(0, 1)
        wide = torch.cat([model.decode(part).sample for part in torch.split(flat, self.at_once)])
        frames = reduced(wide, self.scale, shape[1:])
        return frames.reshape(len(latents), shape[0], 1, *shape[1:]).transpose(1, 2)

    def _encoded(self, frames: Tensor) -> Tensor:
        return latent_means(self.model, enlarged(frames, self.scale, downsampling(self.model)))


def enlarged(frames: Tensor, scale: int, multiple: int) -> Tensor:
    """Return grey frames `[N,1,H,W]` in [0,1] as images `[N,3,h,w]` in [−1,1] of three equal channels.

    They are `scale` times as large and padded by their edge, below and right, to multiples of `multiple` pixels.
    """
    size = [side * scale for side in frames.shape[-2:]]
    wide = functional.interpolate(2 * frames - 1, size, mode="bilinear", align_corners=False)
    padded = functional.pad(wide, (0, -size[1] % multiple, 0, -size[0] % multiple), mode="replicate")
    return padded.expand(-1, 3, -1, -1)


def reduced(images: Tensor, scale: int, size: Sequence[int]) -> Tensor:
    """Return images `[N,3,h,w]` in [−1,1] as grey frames `[N,1,H,W]` of this size (H,W): cropped and averaged.

    >>> frames = torch.full((2, 1, 3, 5), 0.25)
    >>> torch.equal(reduced(enlarged(frames, 4, 8), 4, (3, 5)), frames)
    True
    """
    grey = images.mean(1, keepdim=True)[..., : size[0] * scale, : size[1] * scale]
    return functional.avg_pool2d(grey, scale) / 2 + 0.5


def latent_means(model: Any, images: Tensor) -> Tensor:
    """Return the means of the latents that a diffusers autoencoder gives images or videos."""
    found = model.encode(images)
    means: Tensor = found.latent_dist.mean if "latent_dist" in found else found.latents
    return means


def downsampling(model: nn.Module) -> int:
    """Return by how much a diffusers autoencoder makes images smaller."""
    config: Any = model.config
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    return int(2 ** (len(widths) - 1))


def load_image_autoencoder(source: str | Path, *, scale: int = 4) -> ImageAutoencoder:
    """Return the autoencoder of a folder, of its subfolder `vae` (a pipeline's), or of a model hub's id.

    Raises InputError where there is none or the weights cannot be had: nothing random ever takes their place.
    """
    from diffusers import AutoModel

    folder = Path(source)
    inside = "vae" if (folder / "vae" / "config.json").is_file() else None
    try:
        with torch.random.fork_rng(devices=[]):
            model: Any = AutoModel.from_pretrained(str(source), subfolder=inside, low_cpu_mem_usage=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise InputError(
            f"autoencoder: expected a folder of diffusers weights or a hub's id, got {str(source)!r}, which is not "
            f"available ({' '.join(str(error).split())[:200]}); download it to a folder and name that"
        ) from error
    if "encode" not in dir(model) or "decode" not in dir(model):
        raise InputError(f"autoencoder: expected one of diffusers' autoencoders, got {type(model).__name__}")
    return ImageAutoencoder(model.eval().requires_grad_(False), scale=scale)
