"""Generated movies with captions, from which a prior learns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recon.files import digest
from recon.methods.text.generated_clips import FIRST, STANDARD, Raster, drawn_clips
from recon.priors.text import TextEncoder

HELD_OUT = 48
"""Number of validation clips for the errors on the card."""
HELD_OUT_FRAMES = 180
LENGTH = 60
"""Frames per scene for the errors; shorter scenes are excluded."""


@dataclass(frozen=True)
class Captioned:
    """Clips as bytes `[K,T,H,W]`, their scenes (clip, first, end), and embeddings of the scenes' captions `[S,P,D]`.

    `captions` holds the first phrasing of each scene's caption, `texts` all of them.
    """

    movies: Tensor
    scenes: tuple[tuple[int, int, int], ...]
    embeddings: Tensor
    captions: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...] = ()

    def fingerprint(self) -> str:
        """Return a short hash of the movies, their scenes and captions."""
        movies = hashlib.sha256(self.movies.numpy().data).hexdigest()
        return digest([movies, self.scenes, self.captions])[:12]

    def scored(self, most: int = 0) -> list[int]:
        """Return the indices of the first `most` scenes (0: all) that are long enough to be scored."""
        long = [place for place, (_, first, end) in enumerate(self.scenes) if end - first >= LENGTH]
        return long[: most or None]

    def chunk(self, place: int) -> Tensor:
        """Return the first `LENGTH` frames of a scene `[1,1,LENGTH,H,W]` in [0,1]."""
        clip, first, _ = self.scenes[place]
        return self.movies[clip, first : first + LENGTH].float()[None, None] / 255

    def drawn(self, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, Tensor]:
        """Return random chunks `[B,1,F,H,W]` in [0,1], each from one scene, with the embedding of one phrasing."""
        chosen, phrased = self._chosen(generator, batch)
        return self._chunks(chosen, generator, frames), self.embeddings[torch.tensor(chosen), phrased]

    def drawn_texts(self, generator: torch.Generator, *, batch: int, frames: int) -> tuple[Tensor, list[str]]:
        """Return random chunks as `drawn` does, each with the text of one phrasing."""
        chosen, phrased = self._chosen(generator, batch)
        texts = [self.texts[scene][number] for scene, number in zip(chosen, phrased.tolist(), strict=True)]
        return self._chunks(chosen, generator, frames), texts

    def _chosen(self, generator: torch.Generator, batch: int) -> tuple[list[int], Tensor]:
        chosen = torch.randint(len(self.scenes), (batch,), generator=generator).tolist()
        return chosen, torch.randint(self.embeddings.shape[1], (batch,), generator=generator)

    def _chunks(self, chosen: list[int], generator: torch.Generator, frames: int) -> Tensor:
        parts = []
        for clip, first, end in (self.scenes[index] for index in chosen):
            late = max(end - first - frames, 0)
            start = first + int(torch.randint(late + 1, (1,), generator=generator))
            start = min(start, self.movies.shape[1] - frames)
            parts.append(self.movies[clip, start : start + frames])
        return torch.stack(parts)[:, None].float() / 255


def captioned(split: str, clips: int, encoder: TextEncoder, *, artefacts: Path, raster: Raster = STANDARD) -> Captioned:
    """Return captioned clips of a split, `clips` of them for training; cached in parts, so that a call can resume."""
    count, first, frames = (clips, FIRST, 300) if split == "train" else (HELD_OUT, 0, HELD_OUT_FRAMES)
    movies: list[Tensor] = []
    scenes: list[tuple[int, int, int]] = []
    texts: list[tuple[str, ...]] = []
    source = drawn_clips(split, count, first=first, frames=frames, artefacts=artefacts, raster=raster, progress=True)
    for number, clip in enumerate(source):
        movies.append(clip.movie)
        scenes += [(number, caption.first, caption.end) for caption in clip.spoken]
        texts += [caption.texts for caption in clip.spoken]
    phrasings = min(map(len, texts))
    distinct = sorted({text for captions in texts for text in captions})
    known = dict(zip(distinct, encoder(distinct), strict=True))
    embeddings = torch.stack([torch.stack([known[text] for text in captions[:phrasings]]) for captions in texts])
    named = tuple(captions[0] for captions in texts)
    return Captioned(torch.stack(movies), tuple(scenes), embeddings, named, tuple(texts))
