"""Denoisers for methods: fitting, loading and text condition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.artefacts import load_artefact
from recon.methods.base import Method, last_iterate, responses_of
from recon.methods.text.decoder import Decoded
from recon.methods.text.examples import embedded, over_time
from recon.methods.training_set import TrainingSet
from recon.priors.base import Denoiser
from recon.priors.guidance import ClassifierFree
from recon.priors.latent_diffusion import Framing, LatentDiffusion
from recon.priors.movie_diffusion import load_movie_diffusion
from recon.priors.pipeline_files import load_pipeline
from recon.priors.spectrum import GaussianDenoiser, Spectrum
from recon.priors.still_images import Still
from recon.priors.text import TextEncoder
from recon.problem.problem import Problem
from recon.ranges import Count, NonNegative, Whole


class ConditionedDenoiser(NamedTuple):
    """A denoiser and its condition, `[B,D]`, `[B,T,D]` or None."""

    denoiser: Denoiser
    condition: Tensor | None


@dataclass(frozen=True)
class Given:
    """Text from the row's `words`: the clip's own captions, scene by scene, or another clip's."""

    def fit(self, training: TrainingSet) -> Given:
        """Return itself: nothing is learnt."""
        return self

    def embeddings(self, problem: Problem, encoder: TextEncoder) -> Tensor:
        """Return one embedding per frame `[B,T,D]`; raises InputError without captions."""
        if not problem.captions:
            raise InputError("text given: expected captions of the clips, got none; set the row's words to true")
        frames = problem.shape[2]
        return torch.stack([over_time(said, embedded(said, encoder), frames) for said in problem.captions])

    def texts(self, problem: Problem) -> list[str]:
        """Return the captions of each clip, first phrasing of each scene."""
        return [". ".join(caption.texts[0] for caption in said) for said in problem.captions or [()] * problem.shape[0]]


@dataclass(frozen=True)
class Typed:
    """The fixed text `caption`, for every clip."""

    caption: str

    def fit(self, training: TrainingSet) -> Typed:
        """Return itself: nothing is learnt."""
        return self

    def embeddings(self, problem: Problem, encoder: TextEncoder) -> Tensor:
        """Return the embedding for every clip `[B,D]`."""
        return encoder([self.caption]).expand(problem.shape[0], -1)

    def texts(self, problem: Problem) -> list[str]:
        """Return the caption for every clip."""
        return [self.caption] * problem.shape[0]


@dataclass(frozen=True)
class GaussianPrior:
    """Exact (Wiener) denoiser of a Gaussian with the spectrum of the training movies; unconditional."""

    NAME: ClassVar[str] = "gaussian"

    def fit(self, training: TrainingSet) -> GaussianPrior:
        """Return itself: the spectrum is the method's."""
        return self

    def load(self, spectrum: Spectrum, problem: Problem) -> ConditionedDenoiser:
        """Return the denoiser without a condition."""
        return ConditionedDenoiser(_counted(GaussianDenoiser(spectrum), problem), None)


@dataclass(frozen=True)
class Diffusion:
    """Learnt prior of grey movies: `weights` is a file or a shipped name, `text` the source of its condition, if any.

    `guidance` is the scale s of uncond + s·(cond − uncond); text has no effect at s = 0. Clips longer than `window`
    frames are denoised in windows (0: whole clips). With `stills`, and for clips of one frame, frames are denoised
    independently.
    """

    weights: str = "movie_diffusion"
    text: Given | Typed | Decoded | None = None
    guidance: float = 1.0
    window: Whole = 0
    stills: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def fit(self, training: TrainingSet) -> Diffusion:
        """Fit the caption decoder, if it is the source of the text."""
        return replace(self, text=self.text and self.text.fit(training))

    def load(self, spectrum: Spectrum, problem: Problem) -> ConditionedDenoiser:
        """Return the denoiser and its condition for the problem's clips."""
        device = spectrum.power.device
        movies = load_movie_diffusion(self.weights, window=self.window, precision=self.precision).to(device)
        stills = self.stills or problem.shape[2] == 1
        model: Denoiser = _counted(Still(movies), problem) if stills else _counted(movies, problem)
        if self.text is None:
            return ConditionedDenoiser(model, None)
        if isinstance(self.text, Decoded):
            condition = self.text(responses_of(problem, self.text.neurons))
        else:
            condition = self.text.embeddings(problem, TextEncoder(movies.text))
        return ConditionedDenoiser(ClassifierFree(model, self.guidance), condition.to(device))


@dataclass(frozen=True)
class Pretrained:
    """Text-to-image or text-to-video pipeline of diffusers, from a folder or hub id, in its own latent space.

    σ is in units of latents: samplers start from 10 or more. The pipeline conditions on text, not embeddings, so
    decoded captions are the nearest captions of training trials. Other settings: see `Framing` and `load_pipeline`.
    """

    source: str
    text: Given | Typed | Decoded | None = None
    guidance: float = 5.0
    scale: Count = 8
    every: Count = 1
    window: Whole = 0
    consistency: NonNegative = 0.0
    at_once: Count = 8
    precision: Literal["float32", "bfloat16"] = "float32"

    def fit(self, training: TrainingSet) -> Pretrained:
        """Fit the caption decoder, if it is the source of the text."""
        return replace(self, text=self.text and self.text.fit(training))

    def load(self, spectrum: Spectrum, problem: Problem) -> ConditionedDenoiser:
        """Return the pipeline as a denoiser of the problem's movies, and the condition of each clip."""
        framing = Framing(problem.shape[2:], self.scale, self.every, self.window, self.consistency)
        pipeline = load_pipeline(self.source, at_once=self.at_once, precision=self.precision)
        model = _counted(LatentDiffusion(pipeline, framing).to(spectrum.power.device), problem)
        if self.text is None:
            return ConditionedDenoiser(model, None)
        if isinstance(self.text, Decoded):
            texts = self.text.nearest(responses_of(problem, self.text.neurons))
        else:
            texts = self.text.texts(problem)
        return ConditionedDenoiser(ClassifierFree(model, self.guidance), model.embed(texts).to(spectrum.power.device))


D = TypeVar("D", bound=Denoiser)


def _counted(model: D, problem: Problem) -> D:
    model.register_forward_pre_hook(problem.meter.count_denoised)
    return model


def load_spectrum(artefact: Path | None, device: torch.device, *, method: str) -> Spectrum:
    """Return the spectrum saved in an artefact, on a device."""
    learnt = load_artefact(artefact, method=method)
    return Spectrum(learnt["power"], learnt["mean"]).to(device)


def starting_movie(problem: Problem, generator: torch.Generator, spectrum: Spectrum, start: Method | None) -> Tensor:
    """Return the movie `[B,C,T,H,W]` of another method, or the mean training frame where there is none."""
    if start is None:
        return spectrum.mean.expand(problem.shape).clone()
    return last_iterate(start(problem, generator)).movie
