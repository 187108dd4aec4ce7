"""Training clips and single-trial correlation; plain tensors, so that encoders do not depend on recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from recon.correlation import pearson_of_sums
from recon.encoders.base import Encoder
from recon.encoders.behavior import stacked_behavior


class TrainingClip(NamedTuple):
    """One trial: movie `[C,T,H,W]` in [0,1], responses `[N,T]`, behavior `[4,T]` (NaN where unknown) or none."""

    movie: Tensor
    responses: Tensor
    behavior: Tensor | None = None

    def cut(self, first: int, end: int) -> TrainingClip:
        """Return frames [first, end) of the clip."""
        behavior = None if self.behavior is None else self.behavior[:, first:end]
        return TrainingClip(self.movie[:, first:end], self.responses[:, first:end], behavior)


@runtime_checkable
class ClipSource(Protocol):
    """A sequence of clips on disk that reports their lengths and reads parts of them."""

    def length(self, place: int) -> int:
        """Return the number of frames of a clip."""

    def part(self, place: int, first: int, end: int) -> TrainingClip:
        """Return frames [first, end) of a clip."""


@torch.no_grad()
def evaluate(encoder: Encoder, clips: Iterable[TrainingClip], *, warmup: int = 50) -> Tensor:
    """Return each neuron's Pearson correlation `[N]` between rates and responses over the concatenated frames of clips.

    The first `warmup` frames of every clip are dropped; a constant neuron gives NaN. The mean over neurons is the
    field's single-trial correlation. With noise-free rates as responses it is the correlation to ground-truth rates.
    """
    training = encoder.training
    encoder.eval()
    sums = torch.zeros(6, len(encoder.spec.neuron_ids), dtype=torch.float64)
    device = next(encoder.parameters(), torch.empty(0)).device
    for clip in clips:
        behavior = None if clip.behavior is None else clip.behavior[None].to(device)
        sums += moments(encoder(clip.movie[None].to(device), behavior)[0, :, warmup:], clip.responses[:, warmup:])
    encoder.train(training)
    return pearson_of_sums(sums).float()


def moments(rates: Tensor, responses: Tensor) -> Tensor:
    """Return sums over frames `[6,N]`: n, Σr, Σy, Σr², Σy², Σry for rates r and responses y `[N,T]`."""
    rates, responses = rates.cpu().double(), responses.cpu().double()
    terms = (torch.ones_like(rates), rates, responses, rates**2, responses**2, rates * responses)
    return torch.stack([term.sum(1) for term in terms])


def draw_chunks(
    clips: Sequence[TrainingClip], generator: torch.Generator, *, batch: int, frames: int, apart: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return a batch of random chunks: movies `[B,C,F,H,W]`, responses `[B,N,F]`, behavior `[B,4,F]`.

    With `apart`, chunks come from different clips, so the batch is at most the number of clips. F is at most the length
    of the shortest clip drawn.
    """
    if apart:
        chosen = torch.randperm(len(clips), generator=generator)[:batch].tolist()
    else:
        chosen = torch.randint(len(clips), (batch,), generator=generator).tolist()
    frames = min(frames, *(_length(clips, index) for index in chosen))
    parts = []
    for index in chosen:
        start = int(torch.randint(_length(clips, index) - frames + 1, (1,), generator=generator))
        parts.append(_part(clips, index, start, start + frames))
    return (
        torch.stack([part.movie for part in parts]),
        torch.stack([part.responses for part in parts]),
        stacked_behavior([part.behavior for part in parts]),
    )


def _length(clips: Sequence[TrainingClip], place: int) -> int:
    return clips.length(place) if isinstance(clips, ClipSource) else int(clips[place].movie.shape[1])


def _part(clips: Sequence[TrainingClip], place: int, first: int, end: int) -> TrainingClip:
    return clips.part(place, first, end) if isinstance(clips, ClipSource) else clips[place].cut(first, end)
