"""A cascade over grey movies: a coarse stage that reads captions, and a fine stage that is told its estimate."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from recon.errors import InputError
from recon.errors.ranges import Whole
from recon.files.scale import Scale
from recon.files.weights import check_shapes
from recon.priors.base import Denoiser
from recon.priors.coarse_diffusion import CoarseDiffusion, coarse_from, told_of
from recon.priors.coarse_movies import averaged, frames_of, pooled, unpooled
from recon.priors.coarse_unet import CoarseUnetSettings
from recon.priors.movie_diffusion import MovieDiffusion, diffusion_from
from recon.priors.movie_unet import MovieUnetSettings
from recon.priors.overlapping_windows import by_windows
from recon.priors.spectrum import Spectrum
from recon.priors.weights_file import load_prior, save_prior, settings_in

FORMAT = "recon-movie-cascade-1"
VIEWS = 3
"""Input views of the fine stage: the noisy movie, its Gaussian estimate, and the coarse stage's correction."""
SHARES = 16
"""Noise levels at which the share of the coarse correction is learnt."""
LOWEST, HIGHEST = 0.02, 100.0
"""First and last of them."""


class MovieCascade(Denoiser):
    """One denoiser of two stages: D = D_fine(x, r) + a(σ)·r, where r is the coarse stage's correction, interpolated.

    The coarse stage sees x averaged over 2×2 pixels and 4 frames: the same movie under a quarter of the noise. So both
    stages are posterior means at one noise level, and the cascade takes the place of a denoiser of one stage. The
    fine stage is a `MovieDiffusion` with r as its third view; a is learnt. Ho et al. 2022 sample one stage after the
    other instead; here the noise falls in both at once, so that activity can guide them.

    Conditions are those of `CoarseDiffusion`. The fine stage takes the sentence vector only. Clips longer than
    `window` frames are denoised in overlapping, cross-faded windows (0: whole).
    """

    def __init__(self, coarse: CoarseDiffusion, fine: MovieDiffusion, *, window: int = 0) -> None:
        super().__init__()
        if fine.network.settings.inputs != VIEWS:
            raise InputError(
                f"cascade: expected a fine stage of {VIEWS} views, got {fine.network.settings.inputs}; set it"
            )
        self.coarse, self.fine, self.window = coarse, fine, window
        self.share = nn.Parameter(torch.zeros(SHARES))

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of movies `[B,1,T,H,W]`."""

        def denoised(part: Tensor, frames: slice) -> Tensor:
            text = condition if condition is None or condition.dim() == 2 else condition[:, frames]
            return self._denoised(part, sigma.expand(len(x)), text)

        return by_windows(denoised, x, self.window)

    def correction(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """Return the coarse stage's correction to its Gaussian, interpolated to movies `[B,1,T,H,W]`."""
        coarse = pooled(x)
        text = condition if condition is None or condition.dim() == 2 else condition[:, frames_of(x.shape[2])]
        words = told_of(coarse, text, self.coarse.network.settings.text)
        return unpooled(self.coarse.parts(coarse, sigma / averaged(x.shape[2]) ** 0.5, words)[1], x.shape)

    def refined(self, x: Tensor, sigma: Tensor, condition: Tensor | None, correction: Tensor) -> Tensor:
        """Return the clean estimate, given the coarse stage's correction."""
        sentence = condition if condition is None else condition[..., : self.fine.network.settings.text]
        scale = self.fine.uncertainty(sigma, x.shape).reshape(-1, 1, 1, 1, 1)
        fine = self.fine.denoised(x, sigma, sentence, correction / scale)
        return fine + self.share_at(sigma).reshape(-1, 1, 1, 1, 1) * correction

    def share_at(self, sigma: Tensor) -> Tensor:
        """Return the share a `[B]` of the coarse correction at noise `sigma` `[B]`, linear in ln σ between levels."""
        place = (sigma / LOWEST).log() / math.log(HIGHEST / LOWEST) * (SHARES - 1)
        place = place.clamp(0, SHARES - 1)
        before = place.floor().long().clamp_max(SHARES - 2)
        return torch.lerp(self.share[before], self.share[before + 1], place - before)

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        return self.refined(x, sigma, condition, self.correction(x, sigma, condition))

    def gaussian(self, shape: Sequence[int]) -> Spectrum:
        """Return the spectrum of movies of a shape (`[…,T,H,W]`)."""
        return self.fine.gaussian(shape)

    def uncertainty(self, sigma: Tensor, shape: Sequence[int]) -> Tensor:
        """Return c `[B]`, the root mean posterior variance of the Gaussian at noise `sigma` `[B]`."""
        return self.fine.uncertainty(sigma, shape)

    @property
    def text(self) -> str:
        """Text encoder used in training."""
        return self.coarse.text

    @property
    def caption_space(self) -> str:
        """Text encoder used in training."""
        return self.coarse.text

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the conditions of captions, those of the coarse stage."""
        return self.coarse.embed(texts)


def save_movie_cascade(model: MovieCascade, path: Path, *, card: Mapping[str, Any], scale: Scale | None = None) -> None:
    """Write half-precision weights with settings, scale and card in the header, and a copy of the card as .json."""
    settings = {stage: dataclasses.asdict(part.network.settings) for stage, part in _stages(model).items()}
    about = {name: json.dumps(entries) for name, entries in settings.items()} | {"text": model.text}
    card = {"settings": settings, "text": model.text, **card}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about | (scale.header() if scale else {}), card=card)


def load_movie_cascade(
    weights: str | Path, *, window: Whole = 0, precision: Literal["float32", "bfloat16"] = "float32"
) -> MovieCascade:
    """Cascade over grey movies, frozen, from a file or a shipped name.

    `window` is that of `MovieCascade` and `precision` that of both networks. Raises InputError if the file is of
    another kind.
    """
    tensors, header = load_prior(weights, kind=FORMAT, what="a cascade of movies", command="recon train prior")
    text = header.get("text", "")
    coarse = coarse_from(
        _part(tensors, "coarse"), settings_in(CoarseUnetSettings, header, "coarse", weights), text=text, weights=weights
    )
    fine = diffusion_from(
        _part(tensors, "fine"), settings_in(MovieUnetSettings, header, "fine", weights), text=text, weights=weights
    )
    model = MovieCascade(coarse, fine, window=window)
    check_shapes(weights, {"share": model.share}, {name: value for name, value in tensors.items() if "." not in name})
    model.share.data.copy_(tensors["share"])
    set_precision(model, precision)
    return model.eval().requires_grad_(False)


def set_precision(model: MovieCascade, precision: Literal["float32", "bfloat16"]) -> None:
    """Set the precision of both networks."""
    for part in _stages(model).values():
        part.precision = torch.bfloat16 if precision == "bfloat16" else torch.float32


def _stages(model: MovieCascade) -> dict[str, Any]:
    return {"coarse": model.coarse, "fine": model.fine}


def _part(tensors: Mapping[str, Tensor], stage: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{stage}."): value for name, value in tensors.items() if name.startswith(f"{stage}.")}
