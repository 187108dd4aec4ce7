"""Learnt perceptual distances, LPIPS and ST-LPIPS, where the weights are on this machine; never with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from recon.metrics.movie import check_movies
from recon.metrics.networks import ALEXNET, SHIFT_TOLERANT, Network, loaded, lpips_network, stlpips_network

CHUNK = 64
"""Frames per batch of a network."""
GREY = 0.5
"""Value of the pixels that are not scored, in both movies."""
LPIPS_SIDE, STLPIPS_SIDE = 31, 21
"""Smallest side of a frame in pixels: below it a layer of the network has nothing left."""


def lpips(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the learnt perceptual distance `[B]` (0: equal), AlexNet, mean over frames (Zhang et al. 2018, eq. 1).

    Frames are not resized, a single channel is repeated to three, and pixels outside the mask are grey in both movies.
    NaN if the backbone's weights are not on this machine, or for frames smaller than 31 × 31 pixels.
    """
    check_movies(reconstruction, truth, pixel_mask)
    return _distance(reconstruction, truth, pixel_mask, network=(ALEXNET, lpips_network, LPIPS_SIDE))


def st_lpips(reconstruction: Tensor, truth: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the shift-tolerant perceptual distance `[B]` (0: equal), mean over frames (Ghildyal & Liu 2022).

    As `lpips`, with the AlexNet variant and the weights of the package stlpips-pytorch; NaN where it is not installed,
    or for frames smaller than 21 × 21 pixels.
    """
    check_movies(reconstruction, truth, pixel_mask)
    return _distance(reconstruction, truth, pixel_mask, network=(SHIFT_TOLERANT, stlpips_network, STLPIPS_SIDE))


def images_of(movie: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the frames of a movie `[B,C,T,H,W]` as images `[B·T,3,H,W]`, grey outside the mask."""
    if pixel_mask is not None:
        movie = torch.where(pixel_mask.to(movie.device), movie, torch.full_like(movie, GREY))
    images = rearrange(movie.float(), "b c t h w -> (b t) c h w")
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


@torch.no_grad()
def _distance(
    reconstruction: Tensor,
    truth: Tensor,
    pixel_mask: Tensor | None,
    *,
    network: tuple[Network, Callable[[Path], nn.Module], int],
) -> Tensor:
    source, build, smallest = network
    if source.located() is None or min(truth.shape[-2:]) < smallest:
        return truth.new_full((len(truth),), torch.nan)
    distance = loaded(source, build).to(truth.device)
    first, second = (torch.split(images_of(movie, pixel_mask), CHUNK) for movie in (reconstruction, truth))
    parts = [distance(one, other, normalize=True).flatten() for one, other in zip(first, second, strict=True)]
    return rearrange(torch.cat(parts), "(b t) -> b t", b=len(truth)).mean(1)
