"""Parameterisations: the optimised variable and the movie it stands for."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from recon.errors import InputError
from recon.priors.spectrum import Spectrum, cosine_transform, inverse_cosine_transform

Shape = tuple[int, int, int, int, int]


class Parameterisation(nn.Module, ABC):
    """A differentiable map from `variable` (first axis: samples) to a movie `[B,C,T,H,W]`."""

    variable: nn.Parameter

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the movie `[B,C,T,H,W]`; values may leave [0,1], iterates are clipped."""

    @abstractmethod
    def fit(self, movie: Tensor) -> None:
        """Set the variable so that the parameterisation returns `movie` `[B,C,T,H,W]`."""

    def prior(self) -> Tensor:
        """Return −log p of the variable `[B]`, up to a constant; flat unless overridden."""
        return self.variable.new_zeros(len(self.variable))

    def project(self, variable: Tensor) -> Tensor:
        """Return the allowed variable nearest to a moved one; every variable is allowed unless overridden."""
        return variable


class Pixels(Parameterisation):
    """The movie itself, clipped to [0,1] after each step (the published loop)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.variable = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        """Return the variable."""
        return self.variable * 1.0

    def fit(self, movie: Tensor) -> None:
        """Set the variable to the movie."""
        self.variable.data = movie.detach().clone()

    def project(self, variable: Tensor) -> Tensor:
        """Clip to [0,1]."""
        return variable.clamp(0, 1)


class Whitened(Parameterisation):
    """Cosine coefficients divided by the square root of the spectrum: movie = m + DCT⁻¹(√P·z).

    With z standard normal the movie has the spectrum P, so the prior is ½‖z‖² and a plain gradient step in z is a
    step preconditioned by P in pixels (Olah, Mordvintsev & Schubert 2017 call it decorrelated).
    """

    def __init__(self, shape: Shape, spectrum: Spectrum) -> None:
        super().__init__()
        if tuple(spectrum.power.shape) != tuple(shape[2:]):
            raise InputError(
                f"spectrum: expected frames × height × width {tuple(shape[2:])}, got {tuple(spectrum.power.shape)}; "
                "estimate it from training clips of this size"
            )
        self.register_buffer("scale", spectrum.power.sqrt())
        self.register_buffer("mean", spectrum.mean)
        self.variable = nn.Parameter(torch.zeros(shape, device=spectrum.power.device, dtype=spectrum.power.dtype))

    def forward(self) -> Tensor:
        """Return the movie of the coefficients."""
        return self.get_buffer("mean") + inverse_cosine_transform(self.get_buffer("scale") * self.variable)

    def fit(self, movie: Tensor) -> None:
        """Set the coefficients to the movie's, whitened."""
        self.variable.data = cosine_transform(movie.detach() - self.get_buffer("mean")) / self.get_buffer("scale")

    def prior(self) -> Tensor:
        """Return ½‖z‖²."""
        return 0.5 * (self.variable**2).flatten(1).sum(1)


class Pyramid(Parameterisation):
    """A Laplacian-like pyramid (Burt & Adelson 1983): the sum of movies at 1, 1/2, 1/4 … of the frame size."""

    def __init__(self, shape: Shape, levels: int = 3) -> None:
        super().__init__()
        self.shape = shape
        height, width = shape[-2:]
        self.sizes = [(max(height >> level, 1), max(width >> level, 1)) for level in range(levels)]
        pixels = shape[1] * shape[2] * sum(h * w for h, w in self.sizes)
        self.variable = nn.Parameter(torch.zeros(shape[0], pixels))

    def forward(self) -> Tensor:
        """Return the sum of the levels, enlarged bilinearly."""
        return torch.stack([self._enlarge(part, size) for part, size in self._levels()]).sum(0)

    def fit(self, movie: Tensor) -> None:
        """Set each level, from the coarsest, to the residual of the coarser ones."""
        parts: list[Tensor] = []
        rest = movie.detach()
        for size in reversed(self.sizes):
            part = functional.adaptive_avg_pool2d(rearrange(rest, "b c t h w -> b (c t) h w"), size)
            rest = rest - self._enlarge(part.flatten(1), size)
            parts.insert(0, part.flatten(1))
        self.variable.data = torch.cat(parts, 1)

    def _levels(self) -> list[tuple[Tensor, tuple[int, int]]]:
        counts = [self.shape[1] * self.shape[2] * h * w for h, w in self.sizes]
        return list(zip(torch.split(self.variable, counts, 1), self.sizes, strict=True))

    def _enlarge(self, part: Tensor, size: tuple[int, int]) -> Tensor:
        frames = rearrange(part, "b (ct h w) -> b ct h w", h=size[0], w=size[1])
        if size != self.shape[-2:]:
            frames = functional.interpolate(frames, self.shape[-2:], mode="bilinear", align_corners=False)
        return rearrange(frames, "b (c t) h w -> b c t h w", c=self.shape[1])


def power_law(shape: Shape, exponent: float = 1.0, contrast: float = 0.25) -> Spectrum:
    """Return the spectrum of movies with amplitude 1/fᵃ in space and time and standard deviation `contrast`."""
    axes = [torch.arange(size, dtype=torch.float32) / size for size in shape[-3:]]
    t, y, x = torch.meshgrid(*axes, indexing="ij")
    radius = (t**2 + y**2 + x**2).sqrt().clamp_min(1 / max(shape[-3:]))
    power = radius ** (-2 * exponent)
    return Spectrum(power * (contrast**2 / power.mean()), torch.full(tuple(shape[-2:]), 0.5))
