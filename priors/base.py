"""What every denoiser is; score, guidance and plug-and-play steps are functions of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from recon.errors import InputError


class Denoiser(nn.Module, ABC):
    """D(x, σ, condition) → estimate of the clean x, for x = clean + σ·noise (Karras et al. 2022, eq. 1).

    A pixel-space prior leaves `encode` and `decode` as they are here: the identity on movies `[B,C,T,H,W]`.
    """

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of `x`, noised with standard deviation `sigma` `[B]`."""

    def encode(self, movie: Tensor) -> Tensor:
        """Return the variable that is denoised for a movie `[B,C,T,H,W]` in [0,1]."""
        return movie

    def decode(self, x: Tensor) -> Tensor:
        """Return the movie `[B,C,T,H,W]` of a denoised variable; differentiable."""
        return x

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the condition of captions; a prior without text refuses."""
        name = type(self).__name__
        raise InputError(f"{name} takes no text: expected none, got {len(texts)}; use a text-conditioned prior")
