"""Rates over windows of frames with their context, and counters of encoder and denoiser evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recon.encoders.base import Encoder

Frames = tuple[int, int]
"""(first, end): first frame and the frame after the last."""


@dataclass
class Meter:
    """Counts frames seen by encoders and movies seen by a denoiser, over all samples of the batch."""

    frames: int = 0
    denoised: int = 0

    def count(self, movie: Tensor) -> None:
        """Add the frames of a movie `[B,C,T,H,W]`."""
        self.frames += movie.shape[0] * movie.shape[2]

    def count_denoised(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the samples of a denoiser's input; a forward pre-hook."""
        self.denoised += len(inputs[0])


def windowed_rates(
    encoder: Encoder, movie: Tensor, behavior: Tensor | None, window: int = 0, *, meter: Meter | None = None
) -> Tensor:
    """Return rates `[B,N,T]` computed over windows of `window` frames with their context; equal to one pass."""
    meter = meter or Meter()
    pieces = [window_rates(encoder, movie, behavior, span, meter) for span in spans_of(movie.shape[2], window)]
    return torch.cat(pieces, -1) if len(pieces) > 1 else pieces[0]


def spans_of(frames: int, window: int) -> list[Frames]:
    """Return (first, end) of windows of `window` frames (0: one of all).

    >>> spans_of(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    step = window if window > 0 else frames
    return [(start, min(start + step, frames)) for start in range(0, frames, step)]


def window_rates(encoder: Encoder, movie: Tensor, behavior: Tensor | None, span: Frames, meter: Meter) -> Tensor:
    """Return the rates `[B,N,end−first]` of one window, computed with its context."""
    before, after = encoder.spec.context
    first, end = max(span[0] - before, 0), min(span[1] + after, movie.shape[2])
    part, seen = None if behavior is None else behavior[..., first:end], movie[:, :, first:end]
    meter.count(seen)
    rates: Tensor = encoder(seen, part)
    return rates[..., span[0] - first : span[1] - first]
