"""Priors over movies: energies and denoisers. Imports only `recon.errors`, `recon.ranges` and `recon.weights`."""

from __future__ import annotations

from collections.abc import Callable

from recon.priors.base import Denoiser
from recon.priors.latent_diffusion import load_latent_diffusion
from recon.priors.movie_diffusion import load_movie_diffusion
from recon.priors.spectrum import GaussianDenoiser

PRIORS: dict[str, Callable[..., Denoiser]] = {
    "gaussian": GaussianDenoiser,
    "movie_diffusion": load_movie_diffusion,
    "latent_diffusion": load_latent_diffusion,
}
