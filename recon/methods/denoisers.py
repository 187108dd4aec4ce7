"""The denoisers that methods name: what they learn or load, and their text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from priors.base import Denoiser
from priors.guidance import ClassifierFree
from priors.movie_diffusion import load_movie_diffusion
from priors.spectrum import GaussianDenoiser, Spectrum
from recon.artefacts import load_artefact
from recon.methods.base import Method
from recon.problem import Problem


@dataclass(frozen=True)
class Wiener:
    """The exact denoiser of a Gaussian with the spectrum of the training movies; it takes no text."""

    def load(self, spectrum: Spectrum) -> tuple[Denoiser, Tensor | None]:
        """Return the denoiser and its condition."""
        return GaussianDenoiser(spectrum), None


@dataclass(frozen=True)
class Diffusion:
    """The learnt prior of grey movies: `weights` is a file or a shipped name, `caption` what it is told, if anything.

    `guidance` is the scale s of uncond + s·(cond − uncond); a text counts from s > 0. Clips longer than `window` frames
    are denoised in windows (0: whole).
    """

    weights: str = "movie_diffusion"
    caption: str = ""
    guidance: float = 1.0
    window: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"

    def load(self, spectrum: Spectrum) -> tuple[Denoiser, Tensor | None]:
        """Return the denoiser and its condition `[1,D]`."""
        model = load_movie_diffusion(self.weights, window=self.window).to(spectrum.power.device)
        model.precision = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        if not self.caption:
            return model, None
        return ClassifierFree(model, self.guidance), model.embed([self.caption]).to(spectrum.power.device)


def load_spectrum(artefact: Path | None, device: torch.device, *, method: str) -> Spectrum:
    """Return the spectrum of an artefact on a device."""
    learnt = load_artefact(artefact, method=method)
    return Spectrum(learnt["power"], learnt["mean"]).to(device)


def starting_movie(problem: Problem, generator: torch.Generator, spectrum: Spectrum, start: Method | None) -> Tensor:
    """Return the movie `[B,C,T,H,W]` of another method, or the mean training frame where there is none."""
    if start is None:
        return spectrum.mean.expand(problem.shape).clone()
    *_, last = start(problem, generator)
    return last.movie
