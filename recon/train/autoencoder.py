"""`recon train autoencoder`: train a movie autoencoder on the training movies of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon import config
from recon.data.open import open_recording
from recon.encoders.training.clips import TrainingClip
from recon.encoders.training.loop import Learning, draw_weights, fresh, learn
from recon.errors import InputError
from recon.errors.ranges import Count, NonNegative, Seed
from recon.methods.neural.chunks import as_bytes, chunk
from recon.methods.neural.weights_file import recorded_scale
from recon.metrics.movie import SSIM_RADIUS, psnr, ssim, video_correlation
from recon.priors.movie_autoencoder import AutoencoderSettings, MovieAutoencoder, save_autoencoder
from recon.train.card import PYTHON, Command, identified, origin
from recon.train.identity import identity
from recon.types import Recording


@dataclass(frozen=True)
class AutoencoderTraining:
    """Configuration of `recon train autoencoder`: recording, architecture, learning and output.

    Chunks of `frames` frames of training movies, mirrored with probability 1/2, are encoded and decoded. Gaussian noise
    of standard deviation `noise` on the standardised latents makes the decoder robust to inexact latents. The loss is
    the squared error divided by the movies' variance + `similarity` · (1 − SSIM), plus a penalty of weight 0.1 on
    latent means and standard deviations that differ from 0 and 1. Validation movies select the weights.
    """

    recording: Path
    output: Path
    settings: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    learning: Learning = field(default_factory=Learning)
    batch: Count = 8
    frames: Count = 24
    noise: NonNegative = 0.3
    similarity: NonNegative = 0.2
    seed: Seed = 0


def train_autoencoder(tree: Mapping[str, Any], *, log: Path | None = None, command: Command = PYTHON) -> Path:
    """Train from a configuration and return the path of the weights; the card is saved next to them."""
    chosen = config.record(AutoencoderTraining, tree, where="train")
    recording = open_recording(chosen.recording)
    movies, held_out = movies_of(recording, "train"), movies_of(recording, "oracle")
    generator = torch.Generator().manual_seed(chosen.seed)
    model = started(chosen.settings, movies, generator)
    variance = float(torch.stack([clip.movie.float().div(255).var() for clip in movies]).mean())

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        movie = drawn(movies, draws, batch=chosen.batch, frames=chosen.frames)
        latents = network.encode(movie)
        noisy = latents + chosen.noise * torch.randn(latents.shape, generator=draws)
        decoded = network.decode(noisy, tuple(movie.shape[2:]))
        variation = latents.mean((0, 2, 3, 4)).square().mean() + (latents.std((0, 2, 3, 4)) - 1).square().mean()
        error: Tensor = functional.mse_loss(decoded, movie) / variance + 0.1 * variation
        small = min(movie.shape[-2:]) <= 2 * SSIM_RADIUS
        return error if small else error + chosen.similarity * (1 - ssim(decoded, movie).mean())

    outcome = learn(
        model,
        loss,
        chosen.learning,
        generator=generator,
        validate=lambda network: scores(network, held_out)["validation_correlation"],
        checkpoint=chosen.output.with_suffix(".training"),
        log=log,
        title="train autoencoder",
        about=identity(chosen, recording.learning_fingerprint()),
    )
    model.standardise(torch.stack([_cut(clip, chosen.frames) for clip in movies]))
    card = origin(chosen.output, identified(recording), command)
    card |= {"training": asdict(chosen) | {"recording": str(chosen.recording), "output": chosen.output.name}}
    card |= asdict(outcome) | scores(model, held_out)
    save_autoencoder(model, chosen.output, card=card, scale=recorded_scale(recording))
    chosen.output.with_suffix(".training").unlink(missing_ok=True)
    return chosen.output


def movies_of(recording: Recording, tier: str) -> list[TrainingClip]:
    """Return the distinct movies of a tier as bytes, without responses."""
    first = {recording.video_ids[index]: index for index in reversed(recording.trials(tier))}
    if not first:
        raise InputError(f"{recording.path}: expected trials of tier {tier!r}, got none; import them with this tier")
    movies = (as_bytes(recording.trial(index).movie) for index in sorted(first.values()))
    return [TrainingClip(movie, torch.empty(0, movie.shape[1])) for movie in movies]


def started(settings: AutoencoderSettings, movies: list[TrainingClip], generator: torch.Generator) -> MovieAutoencoder:
    """Return an autoencoder with random weights and latents standardised on the first movies."""
    model = fresh(lambda: MovieAutoencoder(settings))
    draw_weights(model, generator)
    model.standardise(torch.stack([_cut(clip, 16) for clip in movies[:16]]))
    return model


def drawn(clips: list[TrainingClip], generator: torch.Generator, *, batch: int, frames: int) -> Tensor:
    """Return random chunks `[B,1,F,H,W]` of movies in [0,1], each mirrored with probability 1/2."""
    _, movie = chunk(clips, generator, batch=batch, frames=frames)
    mirrored = torch.rand(len(movie), 1, 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, movie.flip(-1), movie)


@torch.no_grad()
def scores(model: Any, movies: list[TrainingClip]) -> dict[str, float]:
    """Return the video correlation and PSNR of the autoencoder's output, mean over movies."""
    pairs = []
    for clip in movies:
        truth = clip.movie[None].float() / 255
        pairs.append((model.decode(model.encode(truth), tuple(truth.shape[2:])).clamp(0, 1), truth))
    correlation = torch.cat([video_correlation(*pair) for pair in pairs]).nanmean()
    ratio = torch.cat([psnr(*pair) for pair in pairs]).mean()
    return {"validation_correlation": round(float(correlation), 4), "validation_psnr": round(float(ratio), 2)}


def _cut(clip: TrainingClip, frames: int) -> Tensor:
    return clip.movie[:, :frames].float() / 255
