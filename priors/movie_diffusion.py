"""A text-conditioned diffusion prior of grey movies in pixel space: D(x, σ, text), for clips of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from recon.priors.base import Denoiser
from recon.priors.movie_unet import MovieUnet, MovieUnetSettings
from recon.priors.overlapping_windows import by_windows
from recon.priors.spectrum import GaussianDenoiser, Spectrum
from recon.priors.text import TextEncoder
from recon.priors.weights_file import load_prior, save_prior

FORMAT = "recon-movie-diffusion-1"
MOVIE_SD, GREY = 0.25, 0.5
"""Standard deviation of movies in [0,1], and the mean of white ones."""


class MovieDiffusion(Denoiser):
    """D = D_P + c·F: the exact denoiser of a Gaussian with movies' spectrum P, and what a network adds to it.

    Karras et al. 2022 (table 1) scale what a network is given and gives by the variance that noise leaves; here it is
    the covariance that noise leaves to a Gaussian: the answer of F, a `MovieUnet`, counts by c² = the mean of
    Pσ²/(P+σ²), so that it need not learn what a spectrum knows. F is given the noisy movie and, as a second view where
    it takes two, D_P. P is that of clips of `spectrum`'s length and frame size, interpolated for others; without one
    movies are white, and this is their preconditioning to the letter.

    Conditions are embeddings `[B,D]` of captions by the text encoder that it was trained with, or `[B,T,D]`, one for
    every frame; a row of NaN stands for no text. Clips longer than `window` frames are denoised in overlapping windows
    that fade into each other; with 0 whole.
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
            told = condition if condition is None or condition.dim() == 2 else condition[:, frames]
            return self._denoised(part, sigma, told)

        return by_windows(denoised, x, self.window)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings `[K,D]` of captions; an empty text is none (NaN)."""
        found = TextEncoder(self.text)([text or "." for text in texts])
        silent = torch.tensor([not text for text in texts])
        return found.masked_fill(silent[:, None], torch.nan)

    def gaussian(self, shape: Sequence[int]) -> Spectrum:
        """Return the spectrum of movies of this shape (`[…,T,H,W]`)."""
        frames, *size = shape[-3:]
        power = self.get_buffer("log_power")
        for axis, length in enumerate((frames, *size)):
            power = _resampled(power, length, axis)
        mean = functional.interpolate(self.get_buffer("mean")[None, None], size, mode="bilinear")[0, 0]
        return Spectrum(power.exp(), mean)

    def uncertainty(self, sigma: Tensor, shape: Sequence[int]) -> Tensor:
        """Return c `[B]`, the root mean variance that noise `sigma` `[B]` leaves to the Gaussian."""
        level = sigma.reshape(-1, 1, 1, 1) ** 2
        power = self.gaussian(shape).power
        return (power * level / (power + level)).flatten(1).mean(1).sqrt()

    def _lowered(self, device: torch.device) -> bool:
        """Return whether the network computes in bfloat16: where it is asked to, on hardware that is not slow at it."""
        slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
        return self.precision == torch.bfloat16 and not slow

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        spectrum, level = self.gaussian(x.shape), sigma.reshape(-1, 1, 1, 1, 1).to(x)
        kept = GaussianDenoiser(spectrum)(x, level)
        views = [(x - GREY) / (level**2 + MOVIE_SD**2).sqrt(), (kept - spectrum.mean) / MOVIE_SD]
        given = torch.cat(views[: self.network.settings.inputs], 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._lowered(x.device)):
            found = self.network(given, level.flatten().expand(len(x)).log() / 4, condition)
        scale = self.uncertainty(level.flatten(), x.shape).reshape(level.shape)
        estimate: Tensor = kept + scale * found.to(x.dtype)
        return estimate


def _resampled(power: Tensor, length: int, axis: int) -> Tensor:
    """Return logarithms of power at the `length` cosine frequencies k/2N of an axis, linearly between known ones."""
    known = power.shape[axis]
    places = (torch.arange(length, device=power.device) * (known / length)).clamp_max(known - 1)
    before = places.floor().long()
    after = (before + 1).clamp_max(known - 1)
    share = (places - before).to(power).reshape([-1 if other == axis else 1 for other in range(power.dim())])
    lower, upper = power.index_select(axis, before), power.index_select(axis, after)
    return lower + share * (upper - lower)


def save_movie_diffusion(model: MovieDiffusion, path: Path, *, card: Mapping[str, Any]) -> None:
    """Write weights in half precision with settings and card in the header, and the card to the .json beside it."""
    settings = dataclasses.asdict(model.network.settings)
    about = {"settings": json.dumps(settings), "text": model.text}
    card = {"settings": settings, "text": model.text, **card}
    save_prior(model.state_dict(), path, kind=FORMAT, about=about, card=card)


def load_movie_diffusion(
    weights: str | Path, *, window: int = 0, precision: Literal["float32", "bfloat16"] = "float32"
) -> MovieDiffusion:
    """Text-conditioned diffusion of grey movies in pixel space, frozen, from a file or a shipped name.

    `window` is that of `MovieDiffusion`, `precision` that of the network; raises InputError where the file is no such
    prior.
    """
    tensors, header = load_prior(weights, kind=FORMAT, what="a diffusion prior of movies", command="recon train prior")
    settings = json.loads(header["settings"])
    with torch.random.fork_rng(devices=[]):
        chosen = MovieUnetSettings(**{**settings, "widths": tuple(settings["widths"])})
        spectrum = Spectrum(tensors["log_power"].exp(), tensors["mean"])
        model = MovieDiffusion(chosen, spectrum=spectrum, text=header["text"], window=window)
    model.load_state_dict(tensors)
    model.precision = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return model.eval().requires_grad_(False)
