"""A small autoencoder of grey movies, trained on training movies only; four times fewer latents than pixels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.errors.ranges import Count
from recon.files.scale import Scale
from recon.files.weights import built
from recon.priors.autoencoder import Autoencoder, Shape
from recon.priors.weights_file import load_prior, save_prior, settings_of

FORMAT = "recon-autoencoder-1"


@dataclass(frozen=True)
class AutoencoderSettings:
    """Sizes: `latents` channels per cell of 4×4 pixels and 2 frames; layers of `width` and 2·`width` features."""

    latents: Count = 8
    width: Count = 24

    def __post_init__(self) -> None:
        if min(self.latents, self.width) < 1:
            raise InputError(f"autoencoder: expected latents and width of at least 1, got {self}; raise them")


class MovieAutoencoder(Autoencoder):
    """Encoder: two strided spatial and one strided temporal convolution.

    Decoder: linear interpolation in time and two pixel shuffles. Latents are standardised by the buffers `mean` and
    `std` `[D]`, measured after training.
    """

    stride = 2
    mean: Tensor
    std: Tensor

    def __init__(self, settings: AutoencoderSettings | None = None) -> None:
        super().__init__()
        self.settings = chosen = settings or AutoencoderSettings()
        width = chosen.width
        self.down = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2), nn.SiLU(), nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        )
        self.shorter = nn.Conv1d(2 * width, 2 * width, 4, stride=2, padding=1)
        self.narrow = nn.Conv2d(2 * width, chosen.latents, 1)
        self.wide = nn.Conv2d(chosen.latents, 2 * width, 3, padding=1)
        self.mixed = nn.Conv1d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(width, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.register_buffer("mean", torch.zeros(chosen.latents))
        self.register_buffer("std", torch.ones(chosen.latents))

    def encode(self, movie: Tensor) -> Tensor:
        """Return standardised latents `[B,D,⌈T/2⌉,⌈H/4⌉,⌈W/4⌉]`."""
        batch, _, frames, height, width = movie.shape
        padded = functional.pad(2 * movie[:, 0] - 1, (0, -width % 4, 0, -height % 4), mode="replicate")
        seen = functional.silu(self.down(rearrange(padded, "b t h w -> (b t) 1 h w")))
        series = rearrange(seen, "(b t) c h w -> (b h w) c t", b=batch)
        even = functional.pad(series, (0, frames % 2), mode="replicate")
        short = functional.silu(self.shorter(even))
        by_frame = rearrange(short, "(b h w) c t -> (b t) c h w", b=batch, h=seen.shape[2])
        latents = rearrange(self.narrow(by_frame), "(b t) d h w -> b d t h w", b=batch)
        standard: Tensor = (latents - self._by_channel(self.mean)) / self._by_channel(self.std)
        return standard

    def decode(self, latents: Tensor, shape: Shape) -> Tensor:
        """Return the movie `[B,1,T,H,W]`, unclipped."""
        batch, _, _, height, width = latents.shape
        raw = latents * self._by_channel(self.std) + self._by_channel(self.mean)
        seen = functional.silu(self.wide(rearrange(raw, "b d t h w -> (b t) d h w")))
        series = rearrange(seen, "(b t) c h w -> (b h w) c t", b=batch)
        series = series + self.mixed(series)
        longer = functional.interpolate(series, shape[0], mode="linear", align_corners=False)
        planes = rearrange(longer, "(b h w) c t -> (b t) c h w", h=height, w=width)
        frames: Tensor = self.up(planes)[..., : shape[1], : shape[2]]
        return rearrange(frames, "(b t) 1 h w -> b 1 t h w", b=batch) / 2 + 0.5

    @torch.no_grad()
    def standardise(self, movies: Tensor) -> None:
        """Set `mean` and `std` to those of the latents of movies `[B,1,T,H,W]`."""
        self.mean.zero_()
        self.std.fill_(1)
        latents = self.encode(movies)
        self.mean.copy_(latents.mean((0, 2, 3, 4)))
        self.std.copy_(latents.std((0, 2, 3, 4)).clamp_min(1e-6))

    def _by_channel(self, values: Tensor) -> Tensor:
        return values.reshape(1, -1, 1, 1, 1)


def save_autoencoder(
    model: MovieAutoencoder, path: Path, *, card: Mapping[str, Any], scale: Scale | None = None
) -> None:
    """Write half-precision weights with settings, scale and card in the header, and a copy of the card as .json."""
    settings = dataclasses.asdict(model.settings)
    about = {"settings": json.dumps(settings), **(scale.header() if scale else {})}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about, card={"settings": settings, **card})


def load_autoencoder(weights: str | Path) -> MovieAutoencoder:
    """Return the frozen autoencoder of a file or shipped name (such as "movies")."""
    command = "recon train autoencoder"
    tensors, header = load_prior(weights, kind=FORMAT, what="an autoencoder of movies", command=command)
    chosen = settings_of(AutoencoderSettings, header, weights)
    with torch.random.fork_rng(devices=[]):
        model = built(weights, lambda: MovieAutoencoder(chosen), tensors)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)
