"""Text of a prior that is given: a caption for every clip, or the captions of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from recon.errors import InputError
from recon.methods.facts import GIVEN, Sees
from recon.methods.requirements import Needs
from recon.methods.text.examples import embedded, over_time
from recon.methods.training_set import TrainingSet
from recon.priors.base import Denoiser
from recon.priors.prior import TextSource
from recon.priors.text import TextEncoder
from recon.problem.problem import Problem


@dataclass(frozen=True)
class Given(TextSource):
    """Text from the row's `words`: the clip's own captions, scene by scene, or another clip's."""

    needs: ClassVar[Needs] = Needs(words=True)

    @property
    def sees(self) -> Sees:
        """The captions of the row."""
        return Sees(text=(GIVEN,))

    def fit(self, training: TrainingSet) -> Self:
        """Return itself: nothing is learnt."""
        return self

    def condition(self, problem: Problem, denoiser: Denoiser) -> Tensor:
        """Return one embedding per frame `[B,T,D]`, or for models of texts one condition per clip `[B,D]`.

        Models of texts take the first phrasing of each scene. Raises InputError without captions to embed.
        """
        if denoiser.caption_space is None:
            said = problem.captions or [()] * problem.shape[0]
            return denoiser.embed([". ".join(caption.texts[0] for caption in clip) for clip in said])
        if not problem.captions:
            raise InputError("text given: expected captions of the clips, got none; set the row's words to true")
        encoder, frames = TextEncoder(denoiser.caption_space), problem.shape[2]
        return torch.stack([over_time(clip, embedded(clip, encoder), frames) for clip in problem.captions])


@dataclass(frozen=True)
class Typed(TextSource):
    """The fixed text `caption`, for every clip."""

    caption: str

    @property
    def sees(self) -> Sees:
        """The caption, in quotes."""
        return Sees(text=(repr(self.caption),))

    def fit(self, training: TrainingSet) -> Self:
        """Return itself: nothing is learnt."""
        return self

    def condition(self, problem: Problem, denoiser: Denoiser) -> Tensor:
        """Return the condition `[B,D]` of the caption, the same for every clip."""
        if denoiser.caption_space is None:
            return denoiser.embed([self.caption] * problem.shape[0])
        return TextEncoder(denoiser.caption_space)([self.caption]).expand(problem.shape[0], -1)
