"""`Prior`, what a configuration names as a prior: settings from which the denoiser of some movies is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor

from recon.priors.base import Denoiser
from recon.priors.guidance import Guidance
from recon.priors.spectrum import Spectrum


class TextSource(ABC):
    """Source of the text of a text-conditioned prior: typed, a row's captions, or decoded from activity.

    The sources are in `recon/methods/text`; priors do not know the training sets and problems that they read.
    """

    @property
    @abstractmethod
    def sees(self) -> Any:
        """What decides the text: a `recon.methods.facts.Sees`."""

    @abstractmethod
    def fit(self, training: Any) -> Self:
        """Return the source ready to use, fitted to a `recon.methods.TrainingSet` if it learns."""

    @abstractmethod
    def condition(self, problem: Any, denoiser: Denoiser) -> Tensor:
        """Return the condition of each clip of a `recon.problem.Problem`, `[B,D]` or per frame `[B,T,D]`."""


class Conditioning(NamedTuple):
    """Text source of a prior, or None, and the scale s of uncond + s·(cond − uncond), a number or a `Guidance`."""

    text: TextSource | None = None
    guidance: float | Guidance = 1.0


class Prior(ABC):
    """Frozen dataclass of a prior's settings; methods and `recon sample` make the denoiser from it.

    Each prior declares on its class what it is; tables of what a method saw read these facts.
    """

    learnt: ClassVar[bool]
    """Learnt from the training movies of the recording."""
    takes_text: ClassVar[bool]

    @property
    def pretrained(self) -> str:
        """Name of the weights trained beforehand on other movies or images; empty, unless overridden."""
        return ""

    @abstractmethod
    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        """Return the denoiser of movies of a shape `[B,C,T,H,W]`.

        `spectrum`: that of the recording's training movies, of clips of T frames; None without a recording.
        """

    def fit(self, training: Any) -> Self:
        """Return the prior ready to use: with its text source fitted to a `recon.methods.TrainingSet`."""
        return self

    @property
    def conditioning(self) -> Conditioning:
        """Text source and guidance; no text, unless overridden."""
        return Conditioning()


class PixelPrior(Prior, ABC):
    """A prior whose denoiser works on the movie itself, not on latents; some methods need one."""
