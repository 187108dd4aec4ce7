"""A prior that follows words exactly: grey as bright as the text says, frame by frame; for any length of conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from recon.errors.ranges import Whole
from recon.priors.base import Denoiser
from recon.priors.guidance import Guidance
from recon.priors.overlapping_windows import by_windows
from recon.priors.prior import Conditioning, PixelPrior, TextSource
from recon.priors.spectrum import Spectrum
from recon.priors.text import TextEncoder

SENTENCE = 384


class Obedient(Denoiser):
    """Exact denoiser of independent pixels around ½, or around ½ plus 20 times the mean of the frame's condition.

    Conditions hold `tokens` token embeddings after that of the sentence, of which a text fills as many as it has words.
    """

    def __init__(self, tokens: int, window: int, asked: list[Tensor | None]) -> None:
        super().__init__()
        self.tokens, self.window, self.asked = tokens, window, asked

    @property
    def caption_space(self) -> str:
        return "minilm"

    def embed(self, texts: Sequence[str]) -> Tensor:
        sentences = TextEncoder()(texts)
        tokens = torch.full((len(texts), self.tokens, SENTENCE), torch.nan)
        for row, text in enumerate(texts):
            words = text.split()[: self.tokens]
            if words:
                tokens[row, : len(words)] = TextEncoder()(words)
        return torch.cat([sentences, tokens.flatten(1)], 1)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        def denoised(part: Tensor, frames: slice) -> Tensor:
            told = condition if condition is None or condition.dim() == 2 else condition[:, frames]
            self.asked.append(told)
            level = 0.5 if told is None else 0.5 + self._meant(told)
            return level + 0.04 / (0.04 + sigma.reshape(-1, 1, 1, 1, 1) ** 2) * (part - level)

        return by_windows(denoised, x, self.window)

    def _meant(self, told: Tensor) -> Tensor:
        series = told if told.dim() == 3 else told[:, None]
        return 20 * series.nanmean(2).nan_to_num()[:, None, :, None, None]


@dataclass(frozen=True)
class ToldPrior(PixelPrior):
    """The prior of `Obedient`; `asked` collects the conditions that it was given, window by window."""

    learnt: ClassVar[bool] = False
    takes_text: ClassVar[bool] = True

    text: TextSource | None = None
    guidance: float | Guidance = 1.0
    tokens: Whole = 0
    window: Whole = 0
    asked: list[Tensor | None] = field(default_factory=list, compare=False, repr=False)

    def denoiser(self, shape: Sequence[int], spectrum: Spectrum | None) -> Denoiser:
        return Obedient(self.tokens, self.window, self.asked)

    @property
    def conditioning(self) -> Conditioning:
        return Conditioning(self.text, self.guidance)
