"""Classifier-free guidance, the score, conversions of network predictions to clean estimates, and noise levels."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import InputError
from recon.priors.base import Denoiser


class ClassifierFree(Denoiser):
    """D = uncond + s·(cond − uncond) (Ho & Salimans 2021): s = 0 ignores the text, s = 1 is plain conditioning."""

    def __init__(self, denoiser: Denoiser, scale: float) -> None:
        super().__init__()
        self.denoiser: Denoiser = denoiser
        self.scale = scale
        self.network_unit = denoiser.network_unit

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the guided estimate; one denoiser evaluation if s is 0 or 1 or without a condition, else two."""
        if condition is None or self.scale == 0:
            found: Tensor = self.denoiser(x, sigma)
            return found
        conditional: Tensor = self.denoiser(x, sigma, condition)
        if self.scale == 1:
            return conditional
        return torch.lerp(self.denoiser(x, sigma), conditional, self.scale)

    def encode(self, movie: Tensor) -> Tensor:
        """Encode with the underlying denoiser."""
        encoded: Tensor = self.denoiser.encode(movie)
        return encoded

    def decode(self, x: Tensor) -> Tensor:
        """Decode with the underlying denoiser."""
        movie: Tensor = self.denoiser.decode(x)
        return movie


def score(denoiser: Denoiser, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
    """Return ∇ log p(x; σ) = (D(x, σ) − x) / σ² (Tweedie's formula; Karras et al. 2022, eq. 3)."""
    gained: Tensor = denoiser(x, sigma, condition) - x
    return gained / sigma.reshape(-1, *[1] * (x.dim() - 1)) ** 2


def from_epsilon(x: Tensor, predicted: Tensor, *, signal: Tensor, noise: Tensor) -> Tensor:
    """Return the clean estimate from a predicted ε, for x = signal·clean + noise·ε (Ho et al. 2020)."""
    return (x - noise * predicted) / signal


def from_velocity(x: Tensor, predicted: Tensor, *, signal: Tensor, noise: Tensor) -> Tensor:
    """Return the clean estimate from a predicted v = signal·ε − noise·clean (Salimans & Ho 2022).

    For any signal and noise: clean = (signal·x − noise·v) / (signal² + noise²).
    """
    return (signal * x - noise * predicted) / (signal**2 + noise**2)


def from_flow(x: Tensor, predicted: Tensor, *, time: Tensor) -> Tensor:
    """Return the clean estimate from a predicted u = ε − clean, for x = (1 − t)·clean + t·ε (Lipman et al. 2023)."""
    return x - time * predicted


def falling(levels: int, highest: float, lowest: float) -> list[float]:
    """Return geometrically decreasing noise levels.

    >>> [round(level, 3) for level in falling(3, 1.0, 0.01)]
    [1.0, 0.1, 0.01]
    """
    if levels < 1 or not highest >= lowest > 0:
        raise InputError(
            f"levels: expected at least 1, decreasing to above 0, got {levels} from {highest} to {lowest}; correct them"
        )
    steps = torch.linspace(0, 1, levels, dtype=torch.float64) if levels > 1 else torch.ones(1, dtype=torch.float64)
    return [float(level) for level in highest ** (1 - steps) * lowest**steps]
