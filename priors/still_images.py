"""Image denoising with a movie prior: an image is a static movie."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from recon.priors.base import Denoiser


class Still(Denoiser):
    """Denoises independent images `[B,1,T,H,W]` with a movie prior.

    An image with noise σ is the mean of F frames with independent noise σ√F. Zero-mean noise, the same in every call,
    spreads the image over F frames; the mean of their estimates is the image's estimate.
    """

    def __init__(self, denoiser: Denoiser, *, frames: int = 8) -> None:
        super().__init__()
        self.denoiser: Denoiser = denoiser
        self.frames = frames

    @property
    def caption_space(self) -> str | None:
        """That of the movie prior."""
        return self.denoiser.caption_space

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the conditions of captions, those of the movie prior."""
        return self.denoiser.embed(texts)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of images."""
        images = rearrange(x, "b c t h w -> (b t) c 1 h w")
        drawn = torch.randn(1, 1, self.frames, *x.shape[-2:], generator=torch.Generator().manual_seed(0)).to(x)
        level = sigma.to(x).expand(len(x)).repeat_interleave(x.shape[2]) * self.frames**0.5
        series = images + level.reshape(-1, 1, 1, 1, 1) * (drawn - drawn.mean(2, keepdim=True))
        conditions = condition
        if condition is not None:
            each = condition if condition.dim() == 3 else condition[:, None].expand(-1, x.shape[2], -1)
            conditions = rearrange(each, "b t d -> (b t) d")
        estimate: Tensor = self.denoiser(series, level, conditions).mean(2)
        return rearrange(estimate, "(b t) c h w -> b c t h w", b=len(x))
