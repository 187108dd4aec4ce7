"""`Denoiser`, the abstract denoiser; score, guidance and plug-and-play steps are functions of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from recon.errors import InputError


class Denoiser(nn.Module, ABC):
    """D(x, σ, condition) → estimate of the clean x, for x = clean + σ·noise (Karras et al. 2022, eq. 1).

    Pixel-space priors keep the default `encode` and `decode`: the identity on movies `[B,C,T,H,W]`. `network_unit` is
    one unit of the variable that published diffusion networks see, in units of x: ½ for movies in [0,1], which they see
    on [−1,1].
    """

    network_unit: float = 0.5

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the clean estimate of `x` at noise standard deviation `sigma` `[B]`."""

    def encode(self, movie: Tensor) -> Tensor:
        """Return the denoised variable (pixels or latents) of a movie `[B,C,T,H,W]` in [0,1]."""
        return movie

    def decode(self, x: Tensor) -> Tensor:
        """Return the movie `[B,C,T,H,W]` of a variable x; differentiable."""
        return x

    @property
    def caption_space(self) -> str | None:
        """Source of the `TextEncoder` whose embeddings `[B,D]` or `[B,T,D]` are conditions; None: only texts are."""
        return None

    def at_places(self, pixels: Tensor) -> Tensor:
        """Return a map over the pixels `[B,1,1,H,W]` of movies as one over the places of the denoised variable."""
        return pixels

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the conditions of captions; priors without text raise InputError."""
        name = type(self).__name__
        raise InputError(f"{name} takes no text: expected none, got {len(texts)}; use a text-conditioned prior")
