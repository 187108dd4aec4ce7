"""`recon train autoencoder`: from the training movies of a recording to the weights of a movie autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from priors.movie_autoencoder import AutoencoderSettings, MovieAutoencoder, save_autoencoder
from recon import config
from recon.data.sensorium import open_recording
from recon.learning import Learning, learn
from recon.metrics.movie import SSIM_RADIUS, psnr, ssim, video_correlation
from recon.types import Recording


@dataclass(frozen=True)
class AutoencoderTraining:
    """A configuration: which movies, how large, and where the weights go.

    Chunks of `frames` frames of training movies, mirrored half of the time, are encoded and decoded with Gaussian
    noise of deviation `noise` on the standardised latents, so that the decoder bears latents that are not exact; the
    loss is the squared error over the movies' variance + `similarity` · (1 − SSIM). Validation movies choose the
    weights that are kept.
    """

    name: str
    recording: Path
    output: Path
    settings: AutoencoderSettings = field(default_factory=AutoencoderSettings)
    learning: Learning = field(default_factory=Learning)
    batch: int = 8
    frames: int = 24
    noise: float = 0.3
    similarity: float = 0.2
    seed: int = 0


def train_autoencoder(tree: Mapping[str, Any], *, log: Path | None = None) -> Path:
    """Train as a configuration says and return the path of the weights; the card lies beside them."""
    chosen = config.record(AutoencoderTraining, tree, where="train")
    recording = open_recording(chosen.recording)
    movies, held_out = movies_of(recording, "train"), movies_of(recording, "oracle")
    model = started(chosen.settings, movies, torch.Generator().manual_seed(chosen.seed))
    variance = float(torch.stack([movie.float().div(255).var() for movie in movies]).mean())

    def loss(network: Any, draws: torch.Generator) -> Tensor:
        movie = drawn(movies, draws, batch=chosen.batch, frames=chosen.frames)
        latents = network.encode(movie)
        noisy = latents + chosen.noise * torch.randn(latents.shape, generator=draws)
        decoded = network.decode(noisy, tuple(movie.shape[2:]))
        spread = latents.mean((0, 2, 3, 4)).square().mean() + (latents.std((0, 2, 3, 4)) - 1).square().mean()
        error: Tensor = functional.mse_loss(decoded, movie) / variance + 0.1 * spread
        small = min(movie.shape[-2:]) <= 2 * SSIM_RADIUS
        return error if small else error + chosen.similarity * (1 - ssim(decoded, movie).mean())

    outcome = learn(
        model,
        loss,
        chosen.learning,
        seed=chosen.seed,
        validate=lambda network: scores(network, held_out)["validation_correlation"],
        checkpoint=chosen.output.with_suffix(".training"),
        log=log,
        title="train autoencoder",
    )
    model.standardise(torch.stack([_cut(movie, chosen.frames) for movie in movies]))
    card = {"name": chosen.name, "data": {"recording": recording.name, "fingerprint": recording.fingerprint()}}
    card |= {"training": asdict(chosen) | {"recording": str(chosen.recording), "output": chosen.output.name}}
    card |= asdict(outcome) | scores(model, held_out)
    save_autoencoder(model, chosen.output, card=card | {"command": f"recon train autoencoder {_config(chosen)}"})
    return chosen.output


def movies_of(recording: Recording, tier: str) -> list[Tensor]:
    """Return the movies `[T,H,W]` (0–255, bytes) of a tier, each content once."""
    first = {recording.video_ids[index]: index for index in reversed(recording.trials(tier))}
    if not first:
        raise ValueError(f"{recording.path}: expected trials of tier {tier!r}, got none; import them with this tier")
    return [(recording.trial(i).movie[0] * 255).round().to(torch.uint8) for i in sorted(first.values())]


def started(settings: AutoencoderSettings, movies: list[Tensor], generator: torch.Generator) -> MovieAutoencoder:
    """Return an autoencoder with weights from a generator and latents standardised on some of the movies."""
    with torch.random.fork_rng(devices=[]):
        model = MovieAutoencoder(settings)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv1d) and module.bias is not None:
            module.weight.data.normal_(0, (1.5 / module.weight[0].numel()) ** 0.5, generator=generator)
            module.bias.data.zero_()
    model.standardise(torch.stack([_cut(movie, 16) for movie in movies[:16]]))
    return model


def drawn(movies: list[Tensor], generator: torch.Generator, *, batch: int, frames: int) -> Tensor:
    """Return random chunks `[B,1,F,H,W]` in [0,1] of movies, half of them mirrored; F is even."""
    length = min(frames, *(len(movie) for movie in movies)) // 2 * 2
    chunks = []
    for index in torch.randint(len(movies), (batch,), generator=generator).tolist():
        start = int(torch.randint(len(movies[index]) - length + 1, (1,), generator=generator))
        piece = movies[index][start : start + length].float() / 255
        mirrored = bool(torch.rand(1, generator=generator) < 0.5)
        chunks.append(piece.flip(-1) if mirrored else piece)
    return torch.stack(chunks)[:, None]


@torch.no_grad()
def scores(model: Any, movies: list[Tensor]) -> dict[str, float]:
    """Return means over movies of video correlation and PSNR of encoding and decoding them."""
    pairs = []
    for movie in movies:
        truth = movie[None, None].float() / 255
        pairs.append((model.decode(model.encode(truth), (len(movie), *movie.shape[1:])).clamp(0, 1), truth))
    correlation = torch.cat([video_correlation(*pair) for pair in pairs]).nanmean()
    ratio = torch.cat([psnr(*pair) for pair in pairs]).mean()
    return {"validation_correlation": round(float(correlation), 4), "validation_psnr": round(float(ratio), 2)}


def _cut(movie: Tensor, frames: int) -> Tensor:
    return movie[: min(frames, len(movie)) // 2 * 2].float()[None] / 255


def _config(chosen: AutoencoderTraining) -> str:
    return f"configs/train/{chosen.name}.yaml"
