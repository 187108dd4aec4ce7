"""Errors of the coarse stage of a cascade on scenes of validation sources, told right, nothing or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from recon.encoders.base import device_of
from recon.methods.text.generated_clips import drawn_clips
from recon.metrics.statistics import bootstrap_interval
from recon.priors.coarse_diffusion import packed
from recon.priors.coarse_movies import pooled
from recon.priors.text import TextEncoder
from recon.simulate.captions import WITH_PLACE

Words = Literal["right", "none", "wrong"]
WORDS: tuple[Words, ...] = get_args(Words)
SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
CHOOSING = (0.2, 0.8, 3.2)
"""Noise levels of the validation score that selects the weights."""
CLIPS, FRAMES, LENGTH = 48, 180, 60
"""Number of validation clips, their frames, and the first frames of each scene that are scored."""
WATCHED = 40
"""Number of scenes that select the weights."""
PHRASINGS = {"without place": 0, "with place": WITH_PLACE[0]}
BATCH = 16


@dataclass(frozen=True)
class CoarseHeldOut:
    """The first two seconds of scenes `[S,1,15,18,32]` in [0,1], and their captions' conditions `[S,D]` by phrasing."""

    movies: Tensor
    conditions: dict[str, Tensor]

    @classmethod
    def drawn(cls, encoder: TextEncoder, artefacts: Path, *, clips: int = CLIPS) -> CoarseHeldOut:
        """Draw clips of validation sources; scenes shorter than two seconds are left out."""
        movies, texts = [], []
        for clip in drawn_clips("validation", clips, first=0, frames=FRAMES, artefacts=artefacts, progress=True):
            for caption in clip.spoken:
                if caption.end - caption.first >= LENGTH:
                    movies.append(clip.movie[None, caption.first : caption.first + LENGTH].float() / 255)
                    texts.append(caption.texts)
        told = {name: packed([said[place] for said in texts], encoder) for name, place in PHRASINGS.items()}
        return cls(pooled(torch.stack(movies)), told)

    def score(self, network: Any) -> float:
        """Return the validation score: minus the mean log error at `CHOOSING`, with the right captions."""
        found = held_out_errors(network, self, "right", sigmas=CHOOSING, most=WATCHED)
        return -float(found.mean(1).log().mean())


@torch.no_grad()
def held_out_errors(
    network: Any,
    held_out: CoarseHeldOut,
    words: Words,
    *,
    phrasing: str = "without place",
    sigmas: Sequence[float] = SIGMAS,
    most: int = 0,
) -> Tensor:
    """Return the mean squared denoising error `[Q,S]` at each of Q noise levels for each scene.

    The noise is the same in every call. `words` selects the caption: that of the scene ("right"), none, or that of
    another scene ("wrong"). `most` limits the number of scenes (0: all).
    """
    generator, device = torch.Generator().manual_seed(7), device_of(network)
    movies, right = held_out.movies[: most or None], held_out.conditions[phrasing][: most or None]
    condition = {"right": right, "none": torch.full_like(right, torch.nan), "wrong": right.roll(1, 0)}[words]
    rows = []
    for sigma in sigmas:
        noisy = movies + sigma * torch.randn(movies.shape, generator=generator)
        parts = zip(torch.split(noisy, BATCH), torch.split(condition, BATCH), strict=True)
        found = torch.cat(
            [network(x.to(device), torch.full((len(x),), sigma, device=device), text.to(device)) for x, text in parts]
        )
        rows.append(((found.cpu() - movies) ** 2).flatten(1).mean(1))
    return torch.stack(rows)


def by_caption(network: Any, held_out: CoarseHeldOut) -> dict[str, Any]:
    """Return held-out errors at each σ by phrasing and caption, and 95 % intervals of differences, paired by scene."""
    none = held_out_errors(network, held_out, "none")
    found: dict[str, Any] = {"scenes": none.shape[1], "caption: none": _by_sigma(none.mean(1).tolist())}
    for phrasing in PHRASINGS:
        right, wrong = (held_out_errors(network, held_out, words, phrasing=phrasing) for words in ("right", "wrong"))
        found[phrasing] = {
            "caption: right": _by_sigma(right.mean(1).tolist()),
            "caption: wrong": _by_sigma(wrong.mean(1).tolist()),
            "interval of none - right": _by_sigma([_interval(row) for row in none - right]),
            "interval of wrong - none": _by_sigma([_interval(row) for row in wrong - none]),
        }
    return found


def _by_sigma(values: Sequence[Any]) -> dict[str, Any]:
    return {f"{sigma:g}": value for sigma, value in zip(SIGMAS, values, strict=True)}


def _interval(differences: Tensor) -> list[float]:
    found = bootstrap_interval(differences.tolist(), generator=np.random.default_rng(0))
    return [float(end) for end in found]
