"""The published gradient: unit gradients of overlapping sub-clips, averaged (Bauer et al. 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from recon.errors.ranges import Count, Positive
from recon.methods.requirements import Needs
from recon.problem.fidelities.base import Likelihood
from recon.problem.problem import Problem
from recon.problem.subclips import subclip_gradients
from recon.problem.subclips_published import published_gradients
from recon.problem.windows import Frames


@dataclass(frozen=True)
class SubClips:
    """Sub-clips of `length` frames every `shift` frames, the last flush with the end.

    Each sub-clip's gradient is divided by its L2 norm (+1e-6) per sample, averaged over the sub-clips that cover a
    frame and over the observations (gradient ensembling), masked, and clipped to ±`clip` (at ±1 this changes nothing:
    no entry of a mean of unit gradients is larger). As published, `norm` "all_inputs" is that of the mean misfit's
    gradient per grey level of 255, behavior included; and with `repeat_last` the sub-clip that is flush with the end
    is added even where a regular one is, and counts twice.
    """

    needs: ClassVar[Needs] = Needs(by_frame=True)

    length: Count = 32
    shift: Count = 8
    clip: Positive = 1.0
    norm: Literal["movie", "all_inputs"] = "movie"
    repeat_last: bool = False

    def starts(self, frames: int) -> list[int]:
        """Return the first frames of the sub-clips.

        >>> SubClips(32, 8).starts(300)[-3:], len(SubClips(32, 8).starts(300))
        ([256, 264, 268], 35)
        >>> SubClips(32, 8).starts(48), SubClips(32, 8, repeat_last=True).starts(48)
        ([0, 8, 16], [0, 8, 16, 16])
        """
        last = max(frames - self.length, 0)
        starts = list(range(0, last + 1, self.shift))
        return starts if starts[-1] == last and not self.repeat_last else [*starts, last]

    def value_and_gradient(self, problem: Problem, movie: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean misfit of the sub-clips `[B]` and the averaged unit gradient, shaped like the movie."""
        frames = movie.shape[2]
        total, value = torch.zeros_like(movie), movie.new_zeros(len(movie))
        cover, members = movie.new_zeros(frames), len(problem.observations)
        spans = [(start, min(start + self.length, frames)) for start in self.starts(frames)]
        for first, end in spans:
            cover[first:end] += 1
        for index in range(members):
            for (first, end), energy, unit in self._units(problem, movie, spans, index):
                total[:, :, first:end] += unit / members
                value += energy / (members * len(spans))
        mean = total / cover[:, None, None].clamp_min(1)
        masked = mean if problem.mask is None else mean * problem.mask
        return value, masked.clamp(-self.clip, self.clip)

    def _units(
        self, problem: Problem, movie: Tensor, spans: list[Frames], index: int
    ) -> Iterator[tuple[Frames, Tensor, Tensor]]:
        """Yield each sub-clip's (first, end), energy `[B]` and unit gradient, for one observation."""
        fidelity = problem.fidelity_of(problem.observations[index])
        separable = isinstance(fidelity, Likelihood) and fidelity.by_frame
        if self.norm == "all_inputs":
            published = published_gradients(problem, movie, spans, observation=index, separable=separable)
            for span, energy, gradient, norm in published:
                yield span, energy, _divided(gradient, norm)
            return
        for span, energy, gradient in subclip_gradients(problem, movie, spans, observation=index, separable=separable):
            yield span, energy, _divided(gradient, torch.linalg.vector_norm(gradient.flatten(1), dim=1))


def _divided(gradient: Tensor, norm: Tensor) -> Tensor:
    return gradient / (norm + 1e-6).reshape(-1, 1, 1, 1, 1)
