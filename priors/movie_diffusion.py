"""A text-conditioned diffusion prior of grey movies in pixel space: D(x, σ, text), for clips of any length."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from priors.base import Denoiser
from priors.files import load_prior, save_prior
from priors.movie_unet import MovieUnet, MovieUnetSettings
from priors.text import TextEncoder
from priors.windows import by_windows

FORMAT = "recon-movie-diffusion-1"
SPREAD = 0.25
"""Standard deviation of movies in [0,1] around grey, σ_data of Karras et al."""
GREY = 0.5


class MovieDiffusion(Denoiser):
    """The preconditioned denoiser of Karras et al. 2022 (table 1) around `MovieUnet`, on movies in [0,1].

    Conditions are embeddings `[B,D]` of captions by the text encoder that it was trained with, or `[B,T,D]`, one for
    every frame; a row of NaN stands for no text. Clips longer than `window` frames are denoised in overlapping windows
    that fade into each other; with 0 whole.
    """

    def __init__(self, settings: MovieUnetSettings | None = None, *, text: str = "minilm", window: int = 0) -> None:
        super().__init__()
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

    def _denoised(self, x: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1, 1).to(x)
        total = (level**2 + SPREAD**2).sqrt()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            found = self.network((x - GREY) / total, level.flatten().expand(len(x)).log() / 4, condition)
        estimate: Tensor = GREY + SPREAD**2 / total**2 * (x - GREY) + level * SPREAD / total * found.to(x.dtype)
        return estimate


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

    `window` is that of `MovieDiffusion`, `precision` that of the network; raises ValueError where the file is no such
    prior.
    """
    tensors, header = load_prior(weights, kind=FORMAT, what="a diffusion prior of movies", command="recon train prior")
    settings = json.loads(header["settings"])
    with torch.random.fork_rng(devices=[]):
        chosen = MovieUnetSettings(**{**settings, "widths": tuple(settings["widths"])})
        model = MovieDiffusion(chosen, text=header["text"], window=window)
    model.load_state_dict(tensors)
    model.precision = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return model.eval().requires_grad_(False)
