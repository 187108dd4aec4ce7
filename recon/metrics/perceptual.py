"""LPIPS, if the backbone's weights are available; never with random weights."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from recon.encoders.dwiseneuro.argus_files import read_state
from recon.errors import InputError
from recon.metrics.movie import check_movies

BACKBONE_VARIABLE = "RECON_LPIPS_BACKBONE"
"""Environment variable: path of torchvision's AlexNet weights (.pth or .safetensors), or of their folder."""

CHUNK = 64
"""Frames per batch of the network."""

SLICES = {0: "slice1.0", 3: "slice2.3", 6: "slice3.6", 8: "slice4.8", 10: "slice5.10"}
"""Index i of a convolution in torchvision's AlexNet (`features.i`) → its name in the lpips package's network."""


def lpips_available() -> str | None:
    """Return the path of the AlexNet weights on this machine, or None (see `lpips_reason`); downloads nothing."""
    named = os.environ.get(BACKBONE_VARIABLE, "")
    place = Path(named) if named else Path(torch.hub.get_dir()) / "checkpoints"
    if place.is_file():
        return str(place)
    files = [*sorted(place.glob("alexnet*.pth")), *sorted(place.glob("alexnet*.safetensors"))]
    return str(files[0]) if files else None


def lpips_reason() -> str | None:
    """Return why LPIPS is not available, with a remedy; None if it is available."""
    if lpips_available() is not None:
        return None
    return (
        "not available: LPIPS needs torchvision's AlexNet weights. Download "
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth into "
        f"{Path(torch.hub.get_dir()) / 'checkpoints'} or set {BACKBONE_VARIABLE} to its path"
    )


@torch.no_grad()
def lpips(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the learned perceptual distance `[B]` (0: equal), AlexNet, mean over frames (Zhang et al. 2018, eq. 1).

    Frames are not resized, a single channel is repeated to three, and pixels outside the mask are grey in both movies.
    NaN if the backbone's weights are not on this machine (`lpips_reason`).
    """
    check_movies(reconstruction, truth, pixel_mask)
    backbone = lpips_available()
    if backbone is None:
        return truth.new_full((len(truth),), torch.nan)
    network = _network(backbone).to(truth.device)
    first, second = (_images(movie, pixel_mask) for movie in (reconstruction, truth))
    starts = range(0, len(first), CHUNK)
    parts = [network(first[i : i + CHUNK], second[i : i + CHUNK], normalize=True).flatten() for i in starts]
    return torch.cat(parts).reshape(len(truth), -1).mean(1)


def _images(movie: Tensor, pixel_mask: Tensor | None) -> Tensor:
    """Return frames `[B·T,3,H,W]`."""
    if pixel_mask is not None:
        movie = torch.where(pixel_mask.to(movie.device), movie, torch.full_like(movie, 0.5))
    images = movie.float().transpose(1, 2).flatten(0, 1)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _network(backbone: str) -> nn.Module:
    """Return the lpips package's network: its own linear heads, and the backbone's weights from a file."""
    from lpips import LPIPS

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The constructor draws random weights, all overwritten below, and uses a deprecated argument of torchvision.
        warnings.simplefilter("ignore", UserWarning)
        network: nn.Module = LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = read_state(Path(backbone))
    names = [f"features.{index}.{part}" for index in SLICES for part in ("weight", "bias")]
    missing = [name for name in names if name not in weights]
    if missing:
        raise InputError(
            f"{backbone}: expected torchvision's AlexNet weights, got no {missing[0]}; see {BACKBONE_VARIABLE}"
        )
    state = network.state_dict()
    for index, place in SLICES.items():
        for part in ("weight", "bias"):
            state[f"net.{place}.{part}"] = weights[f"features.{index}.{part}"]
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
