"""Priors over movies: energies and denoisers. Imports only `recon.errors` and `recon.files.weights`."""

from __future__ import annotations

from recon.priors.diffusion import Diffusion
from recon.priors.gaussian import GaussianPrior
from recon.priors.latent_diffusion import Pretrained
from recon.priors.prior import Prior

PRIORS: dict[str, type[Prior]] = {
    "gaussian": GaussianPrior,
    "diffusion": Diffusion,
    "pretrained": Pretrained,
}
