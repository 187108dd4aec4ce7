"""Spectra of movies at any clip length and frame size, and the preconditioning of networks beside their Gaussian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.files.weights import check_shapes
from recon.priors.spectrum import Spectrum

MOVIE_SD, GREY = 0.25, 0.5
"""Standard deviation of movies in [0,1], and mean of the white-spectrum fallback."""
BUFFERS = ("log_power", "mean")
"""The spectrum in a file, beside the network."""


def resampled_spectrum(log_power: Tensor, mean: Tensor, shape: Sequence[int]) -> Spectrum:
    """Return the spectrum of movies of a shape (`[…,T,H,W]`) from its logarithm `[T',H',W']` and mean at another."""
    frames, *size = shape[-3:]
    for axis, length in enumerate((frames, *size)):
        log_power = _resampled(log_power, length, axis)
    return Spectrum(log_power.exp(), functional.interpolate(mean[None, None], size, mode="bilinear")[0, 0])


def remaining_deviation(spectrum: Spectrum, sigma: Tensor) -> Tensor:
    """Return c `[B]`, the root mean posterior variance of a Gaussian at noise `sigma` `[B]`."""
    level = sigma.reshape(-1, 1, 1, 1) ** 2
    power = spectrum.power
    return (power * level / (power + level)).flatten(1).mean(1).sqrt()


def gaussian_views(x: Tensor, level: Tensor, kept: Tensor, spectrum: Spectrum) -> list[Tensor]:
    """Return two inputs of a network of about unit variance: the noisy movie, and its Gaussian estimate `kept`."""
    return [(x - GREY) / (level**2 + MOVIE_SD**2).sqrt(), (kept - spectrum.mean) / MOVIE_SD]


def uses_bfloat16(precision: torch.dtype, device: torch.device) -> bool:
    """Return whether a network runs in bfloat16: if requested, and supported by the hardware at speed."""
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
    return precision == torch.bfloat16 and not slow


def checked_spectrum(weights: str | Path, tensors: Mapping[str, Tensor], network: nn.Module) -> Spectrum:
    """Return the spectrum in a prior's file, in which tensors of other shapes than its `network`'s raise InputError."""
    found = [tensors.get(name) for name in BUFFERS]
    if any(value is None or value.dim() != axes for value, axes in zip(found, (3, 2), strict=True)):
        raise InputError(f"{weights}: expected log_power [T,H,W] and mean [H,W], got others; retrain it")
    shapes = {f"network.{name}": value for name, value in network.state_dict().items()}
    check_shapes(weights, shapes | {name: tensors[name] for name in BUFFERS}, tensors)
    return Spectrum(tensors["log_power"].exp(), tensors["mean"])


def _resampled(power: Tensor, length: int, axis: int) -> Tensor:
    """Return log power at the `length` cosine frequencies k/2N of an axis, linearly interpolated."""
    known = power.shape[axis]
    places = (torch.arange(length, device=power.device) * (known / length)).clamp_max(known - 1)
    before = places.floor().long()
    after = (before + 1).clamp_max(known - 1)
    share = (places - before).to(power).reshape([-1 if other == axis else 1 for other in range(power.dim())])
    lower, upper = power.index_select(axis, before), power.index_select(axis, after)
    return lower + share * (upper - lower)
