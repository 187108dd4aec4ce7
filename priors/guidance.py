"""Classifier-free guidance, the score, conversions of network predictions to clean estimates, and noise levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.errors import InputError
from recon.errors.ranges import Positive
from recon.priors.base import Denoiser


@dataclass(frozen=True)
class Guidance:
    """Scale s of uncond + s·(cond − uncond) by noise level σ and by place.

    s is `low` up to the first σ of `between`, `high` from the second, and linear in ln σ from one to the other; two
    equal ones make a step. Without `between` it is `high` down to σ = 0. Above `until` it is `low` again: a step and
    `until` limit guidance to an interval (Kynkäänniemi et al. 2024). With `seen`, s holds where no neuron sees, and
    `seen` where neurons see well; where s is 0, text has no effect anywhere. Without activity nothing is seen.
    """

    high: float
    low: float = 1.0
    between: tuple[Positive, Positive] | None = None
    until: Positive | None = None
    seen: float | None = None

    def __post_init__(self) -> None:
        first, last = self.between or (0.0, 0.0)
        if first > last or (self.until is not None and self.until <= last):
            raise InputError(
                f"guidance: expected between as two noise levels, the first at most the second, and until above them, "
                f"got {list(self.between or [])} and {self.until}; correct them"
            )

    @property
    def constant(self) -> bool:
        """True if s is the same at all noise levels."""
        return self.between is None and self.until is None

    @property
    def by_place(self) -> bool:
        """True if s depends on what neurons see."""
        return self.seen is not None and self.uses_text

    @property
    def uses_text(self) -> bool:
        """True if text has an effect at any noise level.

        >>> [one.uses_text for one in (Guidance(0.0), Guidance(2.0, low=0.0), Guidance(0.0, between=(1.0, 1.0)))]
        [False, True, True]
        """
        return bool(self.high) or (bool(self.low) and not self.constant)

    def at(self, sigma: float) -> float:
        """Return s at a noise level, which counts with six digits, because denoisers are given it in single precision.

        >>> ramp = Guidance(3.0, between=(0.5, 2.0))
        >>> [ramp.at(sigma) for sigma in (0.1, 1.0, 4.0)]
        [1.0, 2.0, 3.0]
        >>> interval = Guidance(3.0, between=(0.3, 0.3), until=2.0)
        >>> [interval.at(sigma) for sigma in (0.3, 1.0, 4.0)]
        [1.0, 3.0, 1.0]
        """
        level, (first, last) = float(f"{sigma:.6g}"), self.between or (0.0, 0.0)
        if level <= first or (self.until is not None and level > self.until):
            return self.low
        if level >= last:
            return self.high
        return self.low + (self.high - self.low) * math.log(level / first) / math.log(last / first)

    def evaluations(self, sigma: float) -> int:
        """Return the evaluations of a denoiser with text at a noise level: one if s is 0 or 1 everywhere, else two.

        >>> [one.evaluations(0.5) for one in (Guidance(0.0), Guidance(1.0), Guidance(3.0), Guidance(1.0, seen=0.0))]
        [1, 1, 2, 2]
        """
        scale = self.at(sigma)
        return 1 if scale in (0.0, 1.0) and self.everywhere(scale) else 2

    def everywhere(self, scale: float) -> bool:
        """Return whether the scale of a noise level holds at all pixels."""
        return self.seen is None or scale in (0.0, self.seen)


def guidance_of(setting: float | Guidance) -> Guidance:
    """Return the guidance of a setting; a number is the scale at all noise levels and places."""
    return setting if isinstance(setting, Guidance) else Guidance(setting)


class ClassifierFree(Denoiser):
    """D = uncond + s·(cond − uncond) (Ho & Salimans 2021): s = 0 ignores the text, s = 1 is plain conditioning.

    `unseen` `[B,1,1,H,W]`: the share of each pixel, from 0 to 1, that no neuron sees; s = seen + unseen·(s(σ) − seen).
    """

    def __init__(self, denoiser: Denoiser, guidance: float | Guidance, unseen: Tensor | None = None) -> None:
        super().__init__()
        self.denoiser: Denoiser = denoiser
        self.guidance = guidance_of(guidance)
        self.network_unit = denoiser.network_unit
        self.unseen = None if unseen is None else denoiser.at_places(unseen)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the guided estimate; one denoiser evaluation if s is 0 or 1 or without a condition, else two."""
        scale = 0.0 if condition is None else self._scale(x, sigma)
        if not isinstance(scale, Tensor) and scale == 0:
            found: Tensor = self.denoiser(x, sigma)
            return found
        conditional: Tensor = self.denoiser(x, sigma, condition)
        if not isinstance(scale, Tensor) and scale == 1:
            return conditional
        return torch.lerp(self.denoiser(x, sigma), conditional, scale)

    def encode(self, movie: Tensor) -> Tensor:
        """Encode with the underlying denoiser."""
        encoded: Tensor = self.denoiser.encode(movie)
        return encoded

    def decode(self, x: Tensor) -> Tensor:
        """Decode with the underlying denoiser."""
        movie: Tensor = self.denoiser.decode(x)
        return movie

    def _scale(self, x: Tensor, sigma: Tensor) -> float | Tensor:
        """Return the scale of all samples and places, or one for each, broadcastable to `x`."""
        guidance = self.guidance
        levels = [guidance.high] if guidance.constant else [guidance.at(level) for level in sigma.flatten().tolist()]
        by_place = self.unseen is not None and not all(map(guidance.everywhere, levels))
        if len(set(levels)) == 1 and not by_place:
            return levels[0]
        scale = x.new_tensor(levels).reshape(-1, *[1] * (x.dim() - 1))
        if self.unseen is None or guidance.seen is None:
            return scale
        return torch.where(scale == 0, scale, guidance.seen + self.unseen.to(x) * (scale - guidance.seen))


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
