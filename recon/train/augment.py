"""Augmentation of generated movies that leaves their captions true."""

from __future__ import annotations

import torch
from torch import Tensor


def enlarged(movie: Tensor, zoom: float, draws: torch.Generator) -> Tensor:
    """Return each movie `[B,1,T,H,W]` enlarged by a random window: shifted and magnified, the same in all frames.

    The window has 1 − `zoom`·u of the height and width (u uniform), at a random place, so that no border is invented.
    Nothing is mirrored or reversed: captions name directions. A zoom of 0 draws nothing and changes nothing.
    """
    if not zoom:
        return movie
    from kornia.geometry.transform import warp_affine

    height, width = movie.shape[-2:]
    size = 1 - zoom * torch.rand(len(movie), generator=draws)
    corner = torch.rand(len(movie), 2, generator=draws) * (1 - size[:, None]) * torch.tensor([width - 1, height - 1])
    matrix = torch.zeros(len(movie), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / size
    matrix[:, :, 2] = -corner / size[:, None]
    frames: Tensor = warp_affine(
        movie[:, 0], matrix.to(movie), (height, width), padding_mode="border", align_corners=True
    )
    return frames[:, None]
