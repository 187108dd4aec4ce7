"""The Gaussian prior: the spectrum of training movies, with its exact denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from recon.errors import InputError
from recon.priors.prior import PixelPrior
from recon.priors.spectrum import GaussianDenoiser, Spectrum


@dataclass(frozen=True)
class GaussianPrior(PixelPrior):
    """Exact (Wiener) denoiser of a Gaussian with the spectrum of the recording's training movies; unconditional."""

    learnt: ClassVar[bool] = True
    takes_text: ClassVar[bool] = False

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> GaussianDenoiser:
        """Return the denoiser of movies `[B,C,T,H,W]`; raises InputError for a spectrum of other movies."""
        expected = tuple(shape[-3:])
        found = None if spectrum is None else tuple(spectrum.power.shape)
        if spectrum is None or found != expected:
            raise InputError(
                f"gaussian prior: expected the spectrum of movies of (frames, height, width) {expected}, got {found}; "
                "name the recording whose training movies have this size"
            )
        return GaussianDenoiser(spectrum)
