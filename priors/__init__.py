"""What movies look like: energies and denoisers. Imports neither recon nor encoders."""

from __future__ import annotations

from priors.base import Denoiser
from priors.spectrum import GaussianDenoiser

PRIORS: dict[str, type[Denoiser]] = {"gaussian": GaussianDenoiser}
