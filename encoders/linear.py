"""Linear space–time filters with an optional link: small exact models for tests and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recon.encoders.base import Encoder, Spec
from recon.errors import InputError

LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda drive: drive,
    "exp": torch.exp,
    "softplus": functional.softplus,
}


@dataclass(frozen=True)
class LinearSettings:
    """Settings stored in a linear encoder's checkpoint, in addition to its Spec."""

    link: str = "identity"


class Linear(Encoder):
    """Rates = link(Σ weights·movie + bias), causal: r(t) depends on frames t−L+1 … t; zero (black) before frame 0."""

    def __init__(
        self, weights: Tensor, bias: Tensor | None = None, *, link: str = "identity", spec: Spec | None = None
    ) -> None:
        super().__init__()
        if weights.dim() != 5:
            raise InputError(f"weights: expected [N,C,L,H,W], got shape {tuple(weights.shape)}; add the missing axes")
        if link not in LINKS:
            raise InputError(f"link: expected one of {', '.join(LINKS)}, got {link!r}; choose one of them")
        neurons, channels, lags, height, width = weights.shape
        self.settings = LinearSettings(link)
        self.weights = torch.nn.Parameter(weights.clone())
        self.bias = torch.nn.Parameter(weights.new_zeros(neurons) if bias is None else bias.clone())
        context = (lags - 1, 0)
        self.spec = spec or Spec((height, width), tuple(range(neurons)), channels=channels, context=context)

    def forward(self, movie: Tensor, behavior: Tensor | None = None) -> Tensor:
        """Return rates `[B,N,T]` for a movie `[B,C,T,H,W]`; behavior is ignored."""
        padded = functional.pad(movie, (0, 0, 0, 0, self.weights.shape[2] - 1, 0))
        drive = functional.conv3d(padded, self.weights)[..., 0, 0]
        return LINKS[self.settings.link](drive + self.bias[:, None])


def empty_linear(spec: Spec, settings: LinearSettings) -> Linear:
    """Return a linear encoder with zero weights for a Spec; the checkpoint's weights are loaded into it."""
    size = (len(spec.neuron_ids), spec.channels, spec.context[0] + 1, *spec.frame_size)
    return Linear(torch.zeros(size), link=settings.link, spec=spec)
