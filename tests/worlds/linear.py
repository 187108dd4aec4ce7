"""Tiny worlds with closed-form answers: a linear population, smooth random movies, a recording in memory."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon.encoders.base import freeze
from recon.encoders.linear import Linear
from recon.methods.training_set import TrainingSet
from recon.priors.movie_autoencoder import AutoencoderSettings, MovieAutoencoder, save_autoencoder
from recon.priors.spectrum import Spectrum, inverse_cosine_transform
from recon.problem.fidelities import FIDELITIES
from recon.problem.problem import Observation, Problem
from recon.types import Measurement, Recording, Trial

FRAMES, HEIGHT, WIDTH, NEURONS = 12, 6, 8, 30


def spectrum(frames: int = FRAMES) -> Spectrum:
    t, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in (frames, HEIGHT, WIDTH)), indexing="ij")
    power = 1 / (0.5 + t**2 + 2 * y**2 + 2 * x**2)
    return Spectrum(power * (0.03 / power.mean()), torch.full((HEIGHT, WIDTH), 0.5))


def movies(count: int, *, seed: int = 0, frames: int = FRAMES) -> Tensor:
    """Draw movies `[B,1,T,H,W]` from the spectrum, clipped to [0,1]."""
    known = spectrum(frames)
    white = torch.randn(count, 1, *known.power.shape, generator=torch.Generator().manual_seed(seed))
    return (known.mean + inverse_cosine_transform(known.power.sqrt() * white)).clamp(0, 1)


def encoder(*, link: str = "exp", seed: int = 0, lags: int = 3) -> Linear:
    """Return a frozen population of localised random filters, with drive 0.5 at mid-grey."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(NEURONS, 1, lags, HEIGHT, WIDTH, generator=generator)
    centres = torch.rand(NEURONS, 2, generator=generator) * torch.tensor([HEIGHT, WIDTH])
    rows, columns = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    distance = (rows - centres[:, :1, None]) ** 2 + (columns - centres[:, 1:, None]) ** 2
    weights = 0.8 * weights * torch.exp(-distance / 4)[:, None, None]
    bias = torch.full((NEURONS,), 0.5) - 0.5 * weights.flatten(1).sum(1)
    return freeze(Linear(weights, bias, link=link))


def sets() -> tuple[Tensor, Tensor]:
    """Return the fit and selection neurons `[N]`; the last two are report neurons."""
    fit, selection = torch.ones(NEURONS, dtype=torch.bool), torch.zeros(NEURONS, dtype=torch.bool)
    fit[-5:], selection[-5:-2] = False, True
    return fit, selection


def measurement(movie: Tensor, *, seed: int = 1, link: str = "exp") -> Measurement:
    """Return Poisson (exp link) or unit-variance Gaussian responses to a movie."""
    generator = torch.Generator().manual_seed(seed)
    rates = encoder(link=link)(movie)
    noisy = rates + torch.randn(rates.shape, generator=generator)
    responses = torch.poisson(rates, generator) if link == "exp" else noisy
    fit, selection = sets()
    responses[:, ~(fit | selection)] = 0
    return Measurement(responses, None, fit, selection, torch.ones(movie.shape[0], movie.shape[2], dtype=torch.bool))


def problem(count: int = 2, *, seed: int = 5, window: int = 0) -> Problem:
    """Return a Poisson problem for `count` movies."""
    observation = Observation(encoder(), measurement(movies(count, seed=seed)))
    return Problem(FIDELITIES["poisson"](), (observation,), window)


class TinyRecording(Recording):
    """Twelve training trials of 24 frames, in memory."""

    def __init__(self, trials: int = 12, frames: int = 24) -> None:
        self.path, self.name = Path("tiny"), "tiny"
        self.unit_ids = tuple(range(NEURONS))
        self.coordinates = np.zeros((NEURONS, 3))
        self.tiers = ("train",) * trials
        self.video_ids = tuple(f"video{i}" for i in range(trials))
        self.frame_size, self.frame_rate, self.degrees_per_pixel = (HEIGHT, WIDTH), 30.0, 2.0
        self.acquisition = None
        self.movies = movies(trials, seed=77, frames=frames)
        generator = torch.Generator().manual_seed(9)
        self.responses = torch.poisson(encoder()(self.movies), generator)

    def trial(self, index: int) -> Trial:
        return Trial(index, "train", self.movies[index], self.responses[index], video_id=self.video_ids[index])

    def fingerprint(self) -> str:
        return "tiny"

    def learning_fingerprint(self) -> str:
        return "tiny"


def training(artefacts: Path, recording: Recording | None = None, *, neurons: Tensor | None = None) -> TrainingSet:
    """Return the training set of methods: twelve trials, the fit neurons, the encoder, validation clips."""
    chosen = sets()[0] if neurons is None else neurons
    known = recording or TinyRecording()
    validation = [(problem(2, seed=21), movies(2, seed=21)), (problem(2, seed=22), movies(2, seed=22))]
    return TrainingSet(known, chosen, artefacts, FRAMES, encoders=(encoder(),), validation=lambda: validation)


@functools.cache
def autoencoder() -> str:
    """Return the path of a tiny untrained movie autoencoder's weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MovieAutoencoder(AutoencoderSettings(latents=3, width=2))
    path = Path(tempfile.mkdtemp()) / "tiny.safetensors"
    save_autoencoder(model, path, card={})
    return str(path)
