"""A prior in one file: what somebody would add to `priors/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors.ranges import Fraction, Positive
from recon.priors.base import Denoiser
from recon.priors.prior import PixelPrior
from recon.priors.spectrum import Spectrum


class TowardsGrey(Denoiser):
    """The exact denoiser of independent pixels around a grey level."""

    def __init__(self, grey: float, deviation: float) -> None:
        super().__init__()
        self.register_buffer("grey", torch.tensor(grey))
        self.register_buffer("variance", torch.tensor(deviation**2))

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the posterior mean."""
        grey, variance = self.get_buffer("grey"), self.get_buffer("variance")
        return grey + variance / (variance + sigma.reshape(-1, 1, 1, 1, 1) ** 2) * (x - grey)


@dataclass(frozen=True)
class ToyPrior(PixelPrior):
    """Independent pixels around a grey level; nothing is learnt."""

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = False

    grey: Fraction = 0.5
    deviation: Positive = 0.2

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        """Return the denoiser, the same for movies of any shape."""
        return TowardsGrey(self.grey, self.deviation)
