"""A text-conditioned diffusion prior over grey movies in pixel space: D(x, σ, text), for clips of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from recon.errors.ranges import Whole
from recon.files.scale import Scale
from recon.files.weights import described
from recon.priors.base import Denoiser
from recon.priors.movie_spectrum import (
    GREY,
    MOVIE_SD,
    checked_spectrum,
    gaussian_views,
    remaining_deviation,
    resampled_spectrum,
    uses_bfloat16,
)
from recon.priors.movie_unet import MovieUnet, MovieUnetSettings
from recon.priors.overlapping_windows import by_windows
from recon.priors.spectrum import GaussianDenoiser, Spectrum
from recon.priors.text import TextEncoder
from recon.priors.weights_file import load_prior, save_prior, settings_of

FORMAT = "recon-movie-diffusion-1"


class MovieDiffusion(Denoiser):
    """D = D_P + c·F: the exact denoiser of a Gaussian with the movies' spectrum P, plus a learnt correction F.

    Extends the preconditioning of Karras et al. 2022 (table 1) from the posterior variance of white data to the
    posterior covariance of a Gaussian with spectrum P. The `MovieUnet` F is scaled by c² = mean of Pσ²/(P+σ²), so it
    need not learn the spectrum. Its inputs are the noisy movie and, with two input views, D_P. P refers to clips of the
    length and frame size of `spectrum` and is interpolated for others. Without `spectrum`, P is white and the
    preconditioning is that of Karras et al.

    Conditions are caption embeddings `[B,D]` from the text encoder used in training, or `[B,T,D]`, one per frame; a row
    of NaN means no text. Clips longer than `window` frames are denoised in overlapping, cross-faded windows (0: whole).
    """

    def __init__(
        self,
        settings: MovieUnetSettings | None = None,
        *,
        spectrum: Spectrum | None = None,
        text: str = "minilm",
        window: int = 0,
    ) -> None:
        super().__init__()
        known = spectrum or Spectrum(torch.full((1, 1, 1), MOVIE_SD**2), torch.full((1, 1), GREY))
        self.register_buffer("log_power", known.power.log())
        self.register_buffer("mean", known.mean.clone())
        self.network = MovieUnet(settings or MovieUnetSettings())
        self.text, self.window, self.precision = text, window, torch.float32

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of movies `[B,1,T,H,W]`."""

        def denoised(part: Tensor, frames: slice) -> Tensor:
            text = condition if condition is None or condition.dim() == 2 else condition[:, frames]
            return self._denoised(part, sigma, text)

        return by_windows(denoised, x, self.window)

    @property
    def caption_space(self) -> str:
        """Text encoder used in training."""
        return self.text

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings `[K,D]` of captions; NaN for empty texts."""
        found = TextEncoder(self.text)([text or "." for text in texts])
        empty = torch.tensor([not text for text in texts])
        return found.masked_fill(empty[:, None], torch.nan)

    def gaussian(self, shape: Sequence[int]) -> Spectrum:
        """Return the spectrum of movies of a shape (`[…,T,H,W]`)."""
        return resampled_spectrum(self.get_buffer("log_power"), self.get_buffer("mean"), shape)

    def uncertainty(self, sigma: Tensor, shape: Sequence[int]) -> Tensor:
        """Return c `[B]`, the root mean posterior variance of the Gaussian at noise `sigma` `[B]`."""
        return remaining_deviation(self.gaussian(shape), sigma)

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        return self.denoised(x, sigma, condition)

    def denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None, *others: Tensor) -> Tensor:
        """Return the clean estimate of whole clips; `others` are further input views `[B,1,T,H,W]` of the network."""
        spectrum, level = self.gaussian(x.shape), sigma.reshape(-1, 1, 1, 1, 1).to(x)
        kept = GaussianDenoiser(spectrum)(x, level)
        views = [*gaussian_views(x, level, kept, spectrum), *others]
        given = torch.cat(views[: self.network.settings.inputs], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=uses_bfloat16(self.precision, x.device)):
            found = self.network(given, level.flatten().expand(len(x)).log() / 4, condition)
        scale = self.uncertainty(level.flatten(), x.shape).reshape(level.shape)
        estimate: Tensor = kept + scale * found.to(x.dtype)
        return estimate


def save_movie_diffusion(
    model: MovieDiffusion, path: Path, *, card: Mapping[str, Any], scale: Scale | None = None
) -> None:
    """Write half-precision weights with settings, scale and card in the header, and a copy of the card as .json."""
    settings = dataclasses.asdict(model.network.settings)
    about = {"settings": json.dumps(settings), "text": model.text, **(scale.header() if scale else {})}
    card = {"settings": settings, "text": model.text, **card}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about, card=card)


def load_movie_diffusion(
    weights: str | Path, *, window: Whole = 0, precision: Literal["float32", "bfloat16"] = "float32"
) -> MovieDiffusion:
    """Text-conditioned diffusion of grey movies in pixel space, frozen, from a file or a shipped name.

    `window` is that of `MovieDiffusion` and `precision` that of the network. Raises InputError if the file is of
    another kind.
    """
    tensors, header = load_prior(weights, kind=FORMAT, what="a diffusion prior of movies", command="recon train prior")
    chosen = settings_of(MovieUnetSettings, header, weights)
    model = diffusion_from(tensors, chosen, text=header.get("text", ""), weights=weights)
    model.window = window
    model.precision = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return model


def diffusion_from(
    tensors: Mapping[str, Tensor], settings: MovieUnetSettings, *, text: str, weights: str | Path
) -> MovieDiffusion:
    """Return the prior of the tensors of a file `weights`, frozen; their shapes are checked."""
    network = described(weights, lambda: MovieUnet(settings))
    spectrum = checked_spectrum(weights, tensors, network)
    with torch.random.fork_rng(devices=[]):
        model = MovieDiffusion(settings, spectrum=spectrum, text=text)
    model.load_state_dict(dict(tensors))
    return model.eval().requires_grad_(False)
