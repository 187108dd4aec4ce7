"""What decoders learn from: chunks of recorded responses and movies, and of responses distilled from encoders.

Movies stay bytes (0–255) in memory, a quarter of what floats take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.clips import Clip, draw_chunks
from encoders.preparation import receptive_fields
from recon.artefacts import load_artefact
from recon.fidelities.base import Likelihood, Sampled
from recon.learning_set import TrainingSet
from recon.metrics.movie import ssim, video_correlation

NOISE_TRIALS = 40
"""Training trials, spread evenly, to which the noise of distilled responses is fitted."""


@dataclass(frozen=True)
class Distilled:
    """Clips whose responses are rates of encoders, and the noise with which responses are drawn from them."""

    clips: list[Clip]
    noise: Sampled


def recorded(training: TrainingSet) -> list[Clip]:
    """Return all training trials of a training set, without behavior."""
    return [Clip(as_bytes(trial.movie), training.responses(trial)) for trial in training.trials()]


@torch.no_grad()
def distilled(training: TrainingSet, noise: Likelihood) -> Distilled:
    """Return what the encoders predict for the training movies and for others made of them (see `views`).

    The rates are an artefact that all seeds share. The noise is fitted to the training responses and the rates of the
    movies as they were shown.
    """
    training.required_encoders("distillation")
    if not isinstance(noise, Sampled):
        raise ValueError(f"distillation: expected noise that can be drawn, got {noise}; take poisson or mixture")
    path = training.artefact("distilled", "six views", lambda checkpoint: _seen(training), uses=("neurons", "encoders"))
    rates, start = load_artefact(path, method="distillation")["rates"], 0
    clips: list[Clip] = []
    known: list[tuple[Tensor, Tensor]] = []
    for trial in training.trials():
        length, seen = trial.movie.shape[1], []
        for view in views(trial.movie):
            seen.append(Clip(as_bytes(view), rates[:, start : start + length]))
            start += length
        known.append((seen[0].responses, training.responses(trial)))
        clips += seen
    frames = min(shown.shape[1] for shown, _ in known)
    every = max(1, len(known) // NOISE_TRIALS)
    shown, responses = (torch.stack([pair[part][:, :frames].float() for pair in known[::every]]) for part in (0, 1))
    return Distilled(clips, noise.fit(shown, responses, torch.ones_like(shown, dtype=torch.bool)))


def _seen(training: TrainingSet) -> dict[str, Tensor]:
    """Return the encoders' rates `[n,T]` for all views of all training movies, joined."""
    parts = [training.rates(view, trial.behavior).half() for trial in training.trials() for view in views(trial.movie)]
    return {"rates": torch.cat(parts, 1)}


def views(movie: Tensor) -> Iterator[Tensor]:
    """Yield a movie `[C,T,H,W]` and five made of it: mirrored, the same backwards, upside down, and two enlarged.

    The enlarged ones show the upper left, and mirrored the lower right, three quarters of height and width.
    """
    mirrored = movie.flip(-1)
    yield movie
    yield mirrored
    yield mirrored.flip(-3)
    yield movie.flip(-2)
    height, width = movie.shape[-2:]
    rows, columns = max(1, height * 3 // 4), max(1, width * 3 // 4)
    for corner in (movie[..., :rows, :columns], mirrored[..., -rows:, -columns:]):
        yield functional.interpolate(corner.transpose(0, 1), (height, width), mode="bilinear").transpose(0, 1)


def drawn_chunk(source: Distilled, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return random chunks as `chunk` does, with responses drawn from the rates."""
    rates, movies = chunk(source.clips, generator, batch=batch, frames=frames)
    return source.noise.sample(rates.float(), generator), movies


def chunk(
    clips: Sequence[Clip], generator: torch.Generator, *, batch: int, frames: int, apart: bool = False
) -> tuple[Tensor, Tensor]:
    """Return random chunks: responses `[B,n,F]` and movies `[B,1,F,H,W]` in [0,1]; see `draw_chunks`."""
    movies, responses, _ = draw_chunks(clips, generator, batch=batch, frames=frames, apart=apart)
    return responses, movies.float() / 255


@dataclass(frozen=True)
class Reading:
    """How a network reads a chunk while it learns: a share `dropout` of the neurons is silenced in each sample.

    The first and last `margin` frames are context only; "bfloat16" computes the network, and nothing else, in it.
    """

    dropout: float
    margin: int
    precision: str
    device: torch.device

    def __call__(
        self, network: nn.Module, pair: tuple[Tensor, Tensor], draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return what the network reads and the truth, both `[B,1,F',H,W]`, of responses and movies."""
        responses, movie = pair
        kept = torch.rand(responses.shape[:2], generator=draws) >= self.dropout
        inner = slice(self.margin, -self.margin) if movie.shape[2] > 2 * self.margin + 1 else slice(None)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            read = network(responses.to(self.device), kept.to(self.device))
        return read[:, :, inner].float(), movie.to(self.device)[:, :, inner]


def places(clips: Sequence[Clip], grid: tuple[int, int]) -> Tensor:
    """Return receptive-field centres `[n,2]` (row, column) in cells of a grid, measured as for encoders."""
    centres = receptive_fields([Clip(clip.movie.float() / 255, clip.responses) for clip in clips])
    return (centres.flip(1) + 1) / 2 * torch.tensor(grid) - 0.5


def mean_frame(clips: Sequence[Clip]) -> Tensor:
    """Return the mean over clips of their mean frames `[H,W]` in [0,1]."""
    return torch.stack([clip.movie[0].float().mean(0) for clip in clips]).mean(0) / 255


def as_bytes(movie: Tensor) -> Tensor:
    """Return a movie in [0,1] as bytes 0–255."""
    return (movie * 255).round().to(torch.uint8)


@torch.no_grad()
def decoded(decoder: nn.Module, responses: Tensor) -> Tensor:
    """Return the movies `[B,1,T,H,W]` in [0,1] of responses `[B,n,T]`, clip by clip."""
    return torch.cat([decoder(sample[None]).clamp(0, 1) for sample in responses])


def decoding_score(decoder: nn.Module, clips: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean over clips of video correlation + SSIM (which frames of a few pixels lack)."""
    total = []
    for responses, movie in clips:
        read = decoded(decoder, responses)
        total.append(video_correlation(read, movie).nan_to_num() + ssim(read, movie).nan_to_num())
    return float(torch.cat(total).mean())
