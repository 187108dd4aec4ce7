"""Training data of decoders: random chunks of responses and movies.

Movies are held as bytes (0–255), a quarter of the memory of float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recon.encoders.core_readout.prepare import receptive_fields
from recon.encoders.runtime.precision import autocast
from recon.encoders.training.clips import TrainingClip, draw_chunks
from recon.methods.training_set import TrainingSet
from recon.metrics.movie import ssim, video_correlation


def recorded(training: TrainingSet) -> list[TrainingClip]:
    """Return all training trials, without behavior."""
    return [TrainingClip(as_bytes(trial.movie), training.responses(trial)) for trial in training.trials()]


def chunk(
    clips: Sequence[TrainingClip], generator: torch.Generator, *, batch: int, frames: int, apart: bool = False
) -> tuple[Tensor, Tensor]:
    """Return random chunks: responses `[B,n,F]` and movies `[B,1,F,H,W]` in [0,1]; see `draw_chunks`."""
    movies, responses, _ = draw_chunks(clips, generator, batch=batch, frames=frames, apart=apart)
    return responses, movies.float() / 255


@dataclass(frozen=True)
class Reading:
    """Forward pass of a network in training, with a fraction `dropout` of the neurons silenced per sample.

    The first and last `margin` frames are context only. "bfloat16" applies to the network alone.
    """

    dropout: float
    margin: int
    precision: str
    device: torch.device

    def __call__(
        self, network: nn.Module, pair: tuple[Tensor, Tensor], draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return decoded and true movie, both `[B,1,F',H,W]`, for a pair of responses and movies."""
        responses, movie = pair
        kept = torch.rand(responses.shape[:2], generator=draws) >= self.dropout
        inner = slice(self.margin, -self.margin) if movie.shape[2] > 2 * self.margin + 1 else slice(None)
        with autocast(self.device, self.precision):
            decoded_movie = network(responses.to(self.device), kept.to(self.device))
        return decoded_movie[:, :, inner].float(), movie.to(self.device)[:, :, inner]


def places(clips: Sequence[TrainingClip], grid: tuple[int, int]) -> Tensor:
    """Return receptive-field centres `[n,2]` (row, column) in grid cells, measured as for encoders."""
    centres = receptive_fields([TrainingClip(clip.movie.float() / 255, clip.responses) for clip in clips])
    return (centres.flip(1) + 1) / 2 * torch.tensor(grid) - 0.5


def mean_frame(clips: Sequence[TrainingClip]) -> Tensor:
    """Return the mean over clips of their mean frames `[H,W]` in [0,1]."""
    return torch.stack([clip.movie[0].float().mean(0) for clip in clips]).mean(0) / 255


def as_bytes(movie: Tensor) -> Tensor:
    """Return a movie in [0,1] as bytes 0–255."""
    return (movie * 255).round().to(torch.uint8)


@torch.no_grad()
def decoded(decoder: nn.Module, responses: Tensor) -> Tensor:
    """Return the movies `[B,1,T,H,W]` in [0,1] decoded from responses `[B,n,T]`, clip by clip."""
    return torch.cat([decoder(sample[None]).clamp(0, 1) for sample in responses])


def decoding_score(decoder: nn.Module, clips: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean over clips of video correlation + SSIM; undefined values (SSIM of tiny frames) count as 0."""
    total = []
    for responses, movie in clips:
        decoded_movie = decoded(decoder, responses)
        total.append(video_correlation(decoded_movie, movie).nan_to_num() + ssim(decoded_movie, movie).nan_to_num())
    return float(torch.cat(total).mean())
