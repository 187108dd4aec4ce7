"""What decoders learn from: chunks of responses and movies, and how they are read while a network learns.

Movies stay bytes (0–255) in memory, a quarter of what floats take.
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
    """Return all training trials of a training set, without behavior."""
    return [TrainingClip(as_bytes(trial.movie), training.responses(trial)) for trial in training.trials()]


def chunk(
    clips: Sequence[TrainingClip], generator: torch.Generator, *, batch: int, frames: int, apart: bool = False
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
        with autocast(self.device, self.precision):
            read = network(responses.to(self.device), kept.to(self.device))
        return read[:, :, inner].float(), movie.to(self.device)[:, :, inner]


def places(clips: Sequence[TrainingClip], grid: tuple[int, int]) -> Tensor:
    """Return receptive-field centres `[n,2]` (row, column) in cells of a grid, measured as for encoders."""
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
    """Return the movies `[B,1,T,H,W]` in [0,1] of responses `[B,n,T]`, clip by clip."""
    return torch.cat([decoder(sample[None]).clamp(0, 1) for sample in responses])


def decoding_score(decoder: nn.Module, clips: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean over clips of video correlation + SSIM (which frames of a few pixels lack)."""
    total = []
    for responses, movie in clips:
        read = decoded(decoder, responses)
        total.append(video_correlation(read, movie).nan_to_num() + ssim(read, movie).nan_to_num())
    return float(torch.cat(total).mean())
