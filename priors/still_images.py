"""Single images for a prior of movies: a still is a movie that does not move."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.priors.base import Denoiser


class Still(Denoiser):
    """Denoise images `[B,1,T,H,W]`, of which none has to do with another, by a prior of movies.

    An image with noise σ says as much as F frames of it, each with noise σ√F of its own: their mean. So noise that adds
    up to nothing is spread over F frames, always the same, and the mean of the frames' estimates is the image's.
    """

    def __init__(self, denoiser: Denoiser, *, frames: int = 8) -> None:
        super().__init__()
        self.denoiser: Denoiser = denoiser
        self.frames = frames

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of images."""
        images = x.transpose(1, 2).flatten(0, 1)[:, :, None]
        drawn = torch.randn(1, 1, self.frames, *x.shape[-2:], generator=torch.Generator().manual_seed(0)).to(x)
        level = sigma.to(x).expand(len(x)).repeat_interleave(x.shape[2]) * self.frames**0.5
        series = images + level.reshape(-1, 1, 1, 1, 1) * (drawn - drawn.mean(2, keepdim=True))
        told = condition
        if condition is not None:
            each = condition if condition.dim() == 3 else condition[:, None].expand(-1, x.shape[2], -1)
            told = each.flatten(0, 1)
        estimate: Tensor = self.denoiser(series, level, told).mean(2)
        return estimate.reshape(len(x), x.shape[2], *estimate.shape[1:]).transpose(1, 2)
