"""Single images for a prior of movies: a still is a movie that does not move."""

from __future__ import annotations

import torch
from torch import Tensor

from priors.base import Denoiser


class Still(Denoiser):
    """Denoise images `[B,1,1,H,W]` by a prior of movies.

    An image with noise σ says as much as F frames of it, each with noise σ√F of its own: their mean. So noise that adds
    up to nothing is spread over F frames, always the same, and the mean of the frames' estimates is the image's.
    """

    def __init__(self, denoiser: Denoiser, *, frames: int = 8) -> None:
        super().__init__()
        self.denoiser: Denoiser = denoiser
        self.frames = frames

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of images."""
        drawn = torch.randn(1, 1, self.frames, *x.shape[-2:], generator=torch.Generator().manual_seed(0)).to(x)
        level = sigma.reshape(-1, 1, 1, 1, 1).to(x) * self.frames**0.5
        series = x + level * (drawn - drawn.mean(2, keepdim=True))
        told = condition if condition is None or condition.dim() == 2 else condition[:, :1].expand(-1, self.frames, -1)
        estimate: Tensor = self.denoiser(series, level.flatten(), told).mean(2, keepdim=True)
        return estimate
