"""Stand-in weights of AlexNet's convolutions: networks are only loaded with them, no reported score comes from them."""

from __future__ import annotations

import torch
from torch import Tensor

SIZES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def weights() -> dict[str, Tensor]:
    """Random weights under torchvision's names."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, (out, into, kernel) in SIZES.items():
        scale = (into * kernel**2) ** -0.5
        state[f"features.{index}.weight"] = scale * torch.randn(out, into, kernel, kernel, generator=generator)
        state[f"features.{index}.bias"] = torch.full((out,), 0.01 * index)
    return state
