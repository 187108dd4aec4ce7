"""The coarse stage of the cascade: a text-conditioned diffusion prior of small, slow movies."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from recon.files.weights import described
from recon.priors.base import Denoiser
from recon.priors.coarse_unet import CoarseUnet, CoarseUnetSettings, Told
from recon.priors.movie_spectrum import (
    GREY,
    MOVIE_SD,
    checked_spectrum,
    gaussian_views,
    remaining_deviation,
    resampled_spectrum,
    uses_bfloat16,
)
from recon.priors.spectrum import GaussianDenoiser, Spectrum
from recon.priors.text import TextEncoder
from recon.priors.weights_file import load_prior, save_prior, settings_of

FORMAT = "recon-coarse-diffusion-1"
TOKENS = 48
"""Most tokens of a caption; what follows is left out."""


class CoarseDiffusion(Denoiser):
    """The coarse stage: D = D_P + c·F on movies of half the resolution and a quarter of the frame rate.

    D_P is the exact denoiser of a Gaussian with the coarse movies' spectrum P, and c² the mean of Pσ²/(P+σ²), as in
    `MovieDiffusion`. F is a `CoarseUnet`. Conditions are those of `embed`, or sentence vectors `[B,D]` or `[B,T,D]`.
    """

    def __init__(
        self, settings: CoarseUnetSettings | None = None, *, spectrum: Spectrum | None = None, text: str = "minilm"
    ) -> None:
        super().__init__()
        known = spectrum or Spectrum(torch.full((1, 1, 1), MOVIE_SD**2), torch.full((1, 1), GREY))
        self.register_buffer("log_power", known.power.log())
        self.register_buffer("mean", known.mean.clone())
        self.network = CoarseUnet(settings or CoarseUnetSettings())
        self.text, self.precision = text, torch.float32

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of coarse movies `[B,1,T,H,W]`."""
        return self.told(x, sigma, told_of(x, condition, self.network.settings.text))

    def told(self, x: Tensor, sigma: Tensor, words: Told) -> Tensor:
        """Return the clean estimate of coarse movies, given captions and the frames that they describe."""
        kept, correction = self.parts(x, sigma, words)
        return kept + correction

    def parts(self, x: Tensor, sigma: Tensor, words: Told) -> tuple[Tensor, Tensor]:
        """Return the Gaussian estimate and the network's correction to it, both `[B,1,T,H,W]`."""
        spectrum, level = self.gaussian(x.shape), sigma.reshape(-1, 1, 1, 1, 1).to(x)
        kept = GaussianDenoiser(spectrum)(x, level)
        given = torch.cat(gaussian_views(x, level, kept, spectrum)[: self.network.settings.inputs], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=uses_bfloat16(self.precision, x.device)):
            found = self.network(given, level.flatten().expand(len(x)).log() / 4, words)
        scale = self.uncertainty(level.flatten(), x.shape).reshape(level.shape)
        return kept, scale * found.to(x.dtype)

    def gaussian(self, shape: Sequence[int]) -> Spectrum:
        """Return the spectrum of coarse movies of a shape (`[…,T,H,W]`)."""
        return resampled_spectrum(self.get_buffer("log_power"), self.get_buffer("mean"), shape)

    def uncertainty(self, sigma: Tensor, shape: Sequence[int]) -> Tensor:
        """Return c `[B]`, the root mean posterior variance of the Gaussian at noise `sigma` `[B]`."""
        return remaining_deviation(self.gaussian(shape), sigma)

    @property
    def caption_space(self) -> str:
        """Text encoder used in training."""
        return self.text

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the conditions `[K,D·(1+L)]` of captions: sentence vector, then L token embeddings; NaN where none."""
        return packed(texts, TextEncoder(self.text))


def packed(texts: Sequence[str], encoder: TextEncoder) -> Tensor:
    """Return `[K,D·(1+L)]`: of each text the sentence vector and L = `TOKENS` token embeddings; NaN where none."""
    known = [text or "." for text in texts]
    vectors, tokens = encoder.both(known)
    tokens = tokens[:, :TOKENS]
    missing = TOKENS - tokens.shape[1]
    tokens = functional.pad(tokens, (0, 0, 0, missing), value=torch.nan)
    empty = torch.tensor([not text for text in texts])
    found = torch.cat([vectors[:, None], tokens], 1)
    return rearrange(found, "k l d -> k (l d)").masked_fill(empty[:, None], torch.nan)


def told_of(movie: Tensor, condition: Tensor | None, size: int) -> Told:
    """Return the captions of movies `[B,1,T,H,W]` from conditions `[B,D']` or `[B,T,D']`, D' a multiple of `size`.

    Frames with equal conditions share one text.
    """
    batch, frames = len(movie), movie.shape[2]
    if condition is None:
        nothing = torch.full((batch, 1, 1, size), torch.nan, device=movie.device)
        return Told(nothing, torch.zeros(batch, frames, dtype=torch.long, device=movie.device))
    series = condition.float() if condition.dim() == 3 else condition.float()[:, None]
    same = (series[:, 1:] == series[:, :-1]) | (series[:, 1:].isnan() & series[:, :-1].isnan())
    changes = functional.pad((~same.all(-1)).any(0), (1, 0), value=True)
    number = changes.cumsum(0) - 1
    texts = rearrange(series[:, changes], "b s (l d) -> b s l d", d=size)
    return Told(texts, number.expand(batch, -1) if len(number) == frames else number.new_zeros(batch, frames))


def save_coarse_diffusion(model: CoarseDiffusion, path: Path, *, card: Mapping[str, Any]) -> None:
    """Write half-precision weights with settings and card in the header, and a copy of the card as .json."""
    settings = dataclasses.asdict(model.network.settings)
    about = {"settings": json.dumps(settings), "text": model.text}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about, card={"settings": settings, **card})


def load_coarse_diffusion(weights: str | Path) -> CoarseDiffusion:
    """Return the coarse stage from a file, frozen; raises InputError if the file is of another kind."""
    command = "recon train prior` with `stage: coarse"
    tensors, header = load_prior(weights, kind=FORMAT, what="the coarse stage of a cascade", command=command)
    settings = settings_of(CoarseUnetSettings, header, weights)
    return coarse_from(tensors, settings, text=header.get("text", "minilm"), weights=weights)


def coarse_from(
    tensors: Mapping[str, Tensor], settings: CoarseUnetSettings, *, text: str, weights: str | Path
) -> CoarseDiffusion:
    """Return a coarse stage of the tensors of a file `weights`, frozen; their shapes are checked."""
    network = described(weights, lambda: CoarseUnet(settings))
    spectrum = checked_spectrum(weights, tensors, network)
    with torch.random.fork_rng(devices=[]):
        model = CoarseDiffusion(settings, spectrum=spectrum, text=text)
    model.load_state_dict(dict(tensors))
    return model.eval().requires_grad_(False)
