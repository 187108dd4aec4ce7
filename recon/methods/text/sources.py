"""Text of a prior that is given: a caption for every clip, or the captions of the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

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
from recon.simulate.captions import PHRASINGS, WITH_PLACE
from recon.types import Caption

CONTENT_AND_MOTION = ("surface", "shape", "texture", "size", "direction", "speed", "growth")


@dataclass(frozen=True)
class Given(TextSource):
    """Text from the row's `words`: the clip's own captions, scene by scene, or another clip's.

    `place`: only phrasings that name places (True), or only those that do not (False); both need the captions of
    simulated scenes. By default all phrasings are told.
    """

    place: bool | None = None

    @property
    def needs(self) -> Needs:
        """Captions of the clips, those of simulated scenes if places are told or left out."""
        return Needs(words=True, places=self.place is not None)

    @property
    def sees(self) -> Sees:
        """The captions of the row."""
        return Sees(text=(GIVEN,))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Facts of simulated scenes and objects that the text may name."""
        return CONTENT_AND_MOTION if self.place is False else (*CONTENT_AND_MOTION, "place")

    def fit(self, training: TrainingSet) -> Self:
        """Return itself: nothing is learnt."""
        return self

    def condition(self, problem: Problem, denoiser: Denoiser) -> Tensor:
        """Return one embedding per frame `[B,T,D]`, or for models of texts one condition per clip `[B,D]`.

        Models of texts take the first phrasing of each scene that is told. Raises InputError without captions to embed.
        """
        said = [[self.told(caption) for caption in clip] for clip in problem.captions]
        if denoiser.caption_space is None:
            spoken = said or [[]] * problem.shape[0]
            return denoiser.embed([". ".join(caption.texts[0] for caption in clip) for clip in spoken])
        if not said:
            raise InputError("text given: expected captions of the clips, got none; set the row's words to true")
        frames = problem.shape[2]
        return torch.stack([over_time(clip, conditions(clip, denoiser), frames) for clip in said])

    def told(self, caption: Caption) -> Caption:
        """Return a caption with the phrasings that are told.

        >>> Given(place=True).told(Caption(0, 9, tuple("abcdef"))).texts, Given().told(Caption(0, 9, ("a",))).texts
        (('d', 'e'), ('a',))
        """
        if self.place is None:
            return caption
        if len(caption.texts) != PHRASINGS:
            raise InputError(
                f"text given: expected the {PHRASINGS} phrasings of simulated scenes for place "
                f"{str(self.place).lower()}, got {len(caption.texts)}; simulate the recording anew, or leave out place"
            )
        chosen = [text for number, text in enumerate(caption.texts) if (number in WITH_PLACE) == self.place]
        return caption._replace(texts=tuple(chosen))


def conditions(said: Sequence[Caption], denoiser: Denoiser) -> Tensor:
    """Return the condition `[S,D]` of each caption: the mean over its phrasings, normalised to length 1.

    Conditions that hold token embeddings after that of the sentence are those of the first phrasing: tokens of several
    phrasings have no mean.
    """
    first = denoiser.embed([caption.texts[0] for caption in said])
    sentence = TextEncoder(denoiser.caption_space or "")([])
    return first if first.shape[1] > sentence.shape[1] else embedded(said, denoiser.embed)


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
        return denoiser.embed([self.caption]).expand(problem.shape[0], -1)
