"""What movies look like: energies and denoisers. Imports neither recon nor encoders."""

from __future__ import annotations

from collections.abc import Callable

from priors.base import Denoiser
from priors.latent_diffusion import load_latent_diffusion
from priors.movie_diffusion import load_movie_diffusion
from priors.spectrum import GaussianDenoiser

PRIORS: dict[str, Callable[..., Denoiser]] = {
    "gaussian": GaussianDenoiser,
    "movie_diffusion": load_movie_diffusion,
    "latent_diffusion": load_latent_diffusion,
}
