"""Prior energies: functions movie `[B,C,T,H,W]` → `[B]`; lower is more movie-like."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from recon.errors import InputError


def total_variation(movie: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring pixels in space (Rudin, Osher & Fatemi 1992, anisotropic).

    >>> import torch
    >>> ramp = torch.arange(4.0).expand(1, 1, 1, 2, 4)
    >>> total_variation(ramp)
    tensor([6.])
    """
    from kornia.losses import total_variation as of_pictures

    by_frame: Tensor = of_pictures(movie, reduction="sum")
    return by_frame.flatten(1).sum(1)


def temporal_smoothness(movie: Tensor) -> Tensor:
    """Half the sum of squared differences between successive frames.

    >>> import torch
    >>> temporal_smoothness(torch.arange(3.0).reshape(1, 1, 3, 1, 1))
    tensor([1.])
    """
    return 0.5 * (movie.diff(dim=2) ** 2).flatten(1).sum(1)


def out_of_range(movie: Tensor) -> Tensor:
    """Half the sum of squared excursions outside [0,1].

    >>> import torch
    >>> out_of_range(torch.tensor([-1.0, 0.5, 1.0]).reshape(1, 1, 3, 1, 1))
    tensor([0.5000])
    """
    return 0.5 * ((movie - movie.clamp(0, 1)) ** 2).flatten(1).sum(1)


ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {
    "total_variation": total_variation,
    "temporal_smoothness": temporal_smoothness,
    "out_of_range": out_of_range,
}


def weighted_energies(movie: Tensor, weights: dict[str, float]) -> dict[str, Tensor]:
    """Return each energy named in `weights`, times its weight.

    >>> import torch
    >>> weighted_energies(torch.ones(1, 1, 1, 2, 2), {"total_variation": 2.0})
    {'total_variation': tensor([0.])}
    """
    unknown = sorted(set(weights) - set(ENERGIES))
    if unknown:
        raise InputError(f"energies: expected names out of {sorted(ENERGIES)}, got {unknown}; correct the name")
    return {name: weight * ENERGIES[name](movie) for name, weight in weights.items()}
