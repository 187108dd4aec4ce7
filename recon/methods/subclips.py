"""The published gradient: unit gradients of overlapping sub-clips, averaged (Bauer et al. 2026)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recon.fidelities.mixture import Mixture
from recon.fidelities.simple import Gaussian, Poisson
from recon.problem import Problem

SEPARABLE = (Poisson, Gaussian, Mixture)
"""Fidelities that are sums over frames."""


@dataclass(frozen=True)
class SubClips:
    """Sub-clips of `length` frames every `shift` frames, the last flush with the end.

    Each sub-clip's gradient is divided by its L2 norm (+1e-6) per sample, clipped to ±`clip`, averaged over the
    sub-clips that cover a frame and over the observations (gradient ensembling), and then masked.
    """

    length: int = 32
    shift: int = 8
    clip: float = 1.0

    def starts(self, frames: int) -> list[int]:
        """Return the first frames of the sub-clips.

        >>> SubClips(32, 8).starts(300)[-3:], len(SubClips(32, 8).starts(300))
        ([256, 264, 268], 35)
        """
        last = max(frames - self.length, 0)
        starts = list(range(0, last + 1, self.shift))
        return starts if starts[-1] == last else [*starts, last]

    def value_and_gradient(self, problem: Problem, movie: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean misfit of the sub-clips `[B]` and the averaged unit gradient, shaped like the movie."""
        frames = movie.shape[2]
        total, value = torch.zeros_like(movie), movie.new_zeros(len(movie))
        cover, members = movie.new_zeros(frames), len(problem.observations)
        spans = [(start, min(start + self.length, frames)) for start in self.starts(frames)]
        for first, end in spans:
            cover[first:end] += 1
        separable = isinstance(problem.fidelity, SEPARABLE)
        for index in range(members):
            parts = problem.subclip_gradients(movie, spans, observation=index, separable=separable)
            for (first, end), energy, gradient in parts:
                total[:, :, first:end] += self._unit(gradient) / members
                value += energy / (members * len(spans))
        mean = total / cover[:, None, None].clamp_min(1)
        return value, mean if problem.pixels is None else mean * problem.pixels

    def _unit(self, gradient: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1) + 1e-6
        return (gradient / norm.reshape(-1, 1, 1, 1, 1)).clamp(-self.clip, self.clip)
