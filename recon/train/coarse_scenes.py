"""Coarse generated movies with captions, of which more are drawn as training goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recon.files.sealed import whole
from recon.methods.artefacts import artefact_path, load_artefact, save_artefact
from recon.methods.text.generated_clips import FIRST, FRAMES, PART
from recon.priors.coarse_diffusion import TOKENS
from recon.priors.coarse_movies import POOLED_FRAMES, pooled
from recon.priors.coarse_unet import Told
from recon.priors.text import TextEncoder
from recon.simulate.captions import mirrored
from recon.simulate.movies import make_clip
from recon.simulate.threads import use_one_thread

DRAWN_BY = ("recon.simulate.movies", "recon.priors.coarse_movies")
"""Modules on which the drawn clips depend."""
AHEAD = 2
"""Parts that another process draws before they are needed."""
WITHIN = 0.7
"""Share of chunks that lie in one scene where it is long enough; others may begin before or end after it."""
EXTRA = {0: 1.0, 1: 3.0, 2: 1.5}
"""Weight in drawing a scene with a caption, by its number of objects; chunks without a caption are drawn evenly."""


class CoarseScene(NamedTuple):
    """A scene: its clip, frames [first, end) of the clip, captions, and number of objects."""

    clip: int
    first: int
    end: int
    captions: tuple[str, ...]
    objects: int


@dataclass(frozen=True)
class Growth:
    """Parts of `part` clips of `frames` frames: `begin` of them at the first step, all of `clips` after `steps`."""

    clips: int
    begin: int
    steps: int
    part: int = PART
    frames: int = FRAMES

    @property
    def most(self) -> int:
        """Number of parts in all."""
        return max(self.clips // self.part, 1)

    def parts(self, step: int) -> int:
        """Return the number of parts from which a step draws.

        >>> Growth(clips=500, begin=2, steps=100).parts(0), Growth(clips=500, begin=2, steps=100).parts(60)
        (2, 8)
        """
        return min(self.most, self.begin + self.most * step // max(self.steps, 1))


class CoarseScenes:
    """Coarse clips `[K,1,T,h,w]` as bytes with captions; another process draws the next ones meanwhile.

    What a step draws depends on its number alone, so a training that was interrupted resumes to the same weights.
    """

    def __init__(self, growth: Growth, artefacts: Path) -> None:
        self.growth, self.artefacts = growth, artefacts
        self.movies: list[Tensor] = []
        self.scenes: list[CoarseScene] = []
        self._coming: dict[int, Future[None]] = {}
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=use_one_thread)

    def grow(self, step: int) -> None:
        """Read the parts from which a step draws, as soon as they are drawn, and order the next ones."""
        wanted = self.growth.parts(step)
        for number in range(len(self.movies), min(wanted + AHEAD, self.growth.most)):
            if number not in self._coming and not whole(_path(number, self.growth, self.artefacts)):
                self._coming[number] = self._pool.submit(draw_part, number, self.growth, self.artefacts)
        while len(self.movies) < wanted:
            number = len(self.movies)
            if number in self._coming:
                self._coming.pop(number).result()
            self._read(number)

    def close(self) -> None:
        """End the other process."""
        self._pool.shutdown(cancel_futures=True)

    def _read(self, number: int) -> None:
        draw_part(number, self.growth, self.artefacts)
        part = load_artefact(_path(number, self.growth, self.artefacts), method="coarse movies")
        for place, scenes in enumerate(json.loads(bytes(part["about"].tolist()))):
            self.scenes += [_scene(number * self.growth.part + place, entry) for entry in scenes]
        self.movies.append(part["movies"])

    def chunk(self, clip: int, start: int, frames: int) -> Tensor:
        """Return frames of a clip `[1,frames,h,w]` in [0,1]."""
        part, place = divmod(clip, self.growth.part)
        return self.movies[part][place][None, start : start + frames].float() / 255

    def length(self, clip: int) -> int:
        """Return the number of coarse frames of a clip."""
        return int(self.movies[clip // self.growth.part].shape[1])


def _scene(clip: int, entry: dict[str, Any]) -> CoarseScene:
    objects = len((entry.get("facts") or {}).get("objects", ()))
    return CoarseScene(clip, entry["first"], entry["end"], tuple(entry["captions"]), objects)


def draw_part(number: int, growth: Growth, artefacts: Path) -> None:
    """Draw and keep the coarse clips of a part, unless they are there."""
    path = _path(number, growth, artefacts)
    if whole(path):
        return
    first = FIRST + number * growth.part
    clips = [make_clip("train", first + place, frames=growth.frames) for place in range(growth.part)]
    movies = torch.stack([torch.from_numpy(clip.video) for clip in clips])[:, None].float()
    about = json.dumps([clip.describe() for clip in clips]).encode()
    stored = {
        "movies": pooled(movies)[:, 0].round().to(torch.uint8),
        "about": torch.tensor(list(about), dtype=torch.uint8),
    }
    save_artefact(stored, path)


def _path(number: int, growth: Growth, artefacts: Path) -> Path:
    return artefact_path(artefacts, "coarse-movies", [number, growth.part, growth.frames], code=DRAWN_BY)


class Chunks(NamedTuple):
    """Movies `[B,1,T,h,w]` in [0,1] with their captions and the text of each frame."""

    movies: Tensor
    told: Told


class ChunksAhead:
    """The chunks of each step, of which those of the next are drawn by another thread meanwhile.

    `draw` returns the chunks of a step, which depend on its number alone.
    """

    def __init__(self, draw: Callable[[int], Chunks], scenes: CoarseScenes, steps: int) -> None:
        self._draw, self._scenes, self._steps = draw, scenes, steps
        self._thread = ThreadPoolExecutor(1, initializer=use_one_thread)
        self._coming: dict[int, Future[Chunks]] = {}
        self._step = 0

    def prepare(self, step: int) -> None:
        """Order the chunks of a step and of the next."""
        self._step = step
        for number in (step, step + 1):
            if number < self._steps and number not in self._coming:
                self._coming[number] = self._thread.submit(self._drawn, number)

    def taken(self) -> Chunks:
        """Return the chunks of the step that was prepared last."""
        return self._coming.pop(self._step).result()

    def close(self) -> None:
        """End the other thread."""
        self._thread.shutdown(cancel_futures=True)

    def _drawn(self, step: int) -> Chunks:
        self._scenes.grow(step)
        return self._draw(step)


@dataclass(frozen=True)
class Telling:
    """What a chunk is told: nothing with probability `silent`, its sentence vector alone with `vector` of the rest.

    A vector alone is scaled by up to one half and disturbed, as one decoded from activity is.
    """

    encoder: TextEncoder
    silent: float
    vector: float = 0.2
    disturbed: float = 0.03

    def told(self, texts: Sequence[Sequence[str]], frame: Tensor, draws: torch.Generator) -> Told:
        """Return the captions of chunks; an empty text is none."""
        most = max(map(len, texts))
        rows = [[*row, *[""] * (most - len(row))] for row in texts]
        flat = sorted({text for row in rows for text in row if text})
        known = dict(zip(flat, _embedded(flat, self.encoder), strict=True)) if flat else {}
        size = next(iter(known.values())).shape[-1] if known else 384
        nothing = torch.full((1, size), torch.nan)
        series = [known.get(text, nothing) for row in rows for text in row]
        padded = pad_sequence(series, batch_first=True, padding_value=torch.nan)
        stacked = rearrange(padded, "(b s) l d -> b s l d", b=len(rows))
        alone = torch.rand(len(rows), generator=draws) < self.vector
        scale = 0.5 + 0.5 * torch.rand(len(rows), 1, 1, generator=draws)
        noise = self.disturbed * torch.randn(len(rows), most, size, generator=draws)
        stacked[:, :, 1:][alone] = torch.nan
        stacked[:, :, 0] = torch.where(alone[:, None, None], scale * stacked[:, :, 0] + noise, stacked[:, :, 0])
        return Told(stacked, frame)


def _embedded(texts: list[str], encoder: TextEncoder) -> list[Tensor]:
    """Return of each text the sentence vector and its tokens `[1+L,D]`."""
    vectors, tokens = encoder.both(texts)
    tokens = tokens[:, :TOKENS]
    return [torch.cat([vector[None], row[~row[:, 0].isnan()]]) for vector, row in zip(vectors, tokens, strict=True)]


def drawn_chunks(scenes: CoarseScenes, telling: Telling, draws: torch.Generator, *, batch: int, frames: int) -> Chunks:
    """Return random chunks; half of them are mirrored, with their captions.

    A chunk is told nothing or the captions, in one phrasing, of all scenes that it shows.
    """
    silent = torch.rand(batch, generator=draws) < telling.silent
    weights = torch.tensor([EXTRA.get(scene.objects, 1.0) for scene in scenes.scenes])
    favoured = torch.multinomial(weights, batch, replacement=True, generator=draws)
    even = torch.randint(len(scenes.scenes), (batch,), generator=draws)
    chosen = torch.where(silent, even, favoured).tolist()
    flipped = torch.rand(batch, generator=draws) < 0.5
    movies, texts, frame = [], [], []
    for number, flip, mute in zip(chosen, flipped.tolist(), silent.tolist(), strict=True):
        scene = scenes.scenes[number]
        start = _start(scene, scenes.length(scene.clip), frames, draws)
        movie = scenes.chunk(scene.clip, start, frames)
        said, of_frame = _said(scenes, number, start, frames)
        phrasing = int(torch.randint(min(map(len, said)), (1,), generator=draws))
        row = ["" if mute else one[phrasing] for one in said]
        movies.append(movie.flip(-1) if flip else movie)
        texts.append([mirrored(text) for text in row] if flip else row)
        frame.append(of_frame)
    return Chunks(torch.stack(movies), telling.told(texts, torch.stack(frame), draws))


def _start(scene: CoarseScene, length: int, frames: int, draws: torch.Generator) -> int:
    first, end = -(-scene.first // POOLED_FRAMES), scene.end // POOLED_FRAMES
    within, place = torch.rand(2, generator=draws).tolist()
    low, high = (first, max(first, end - frames)) if within < WITHIN else (first - frames // 2, end - frames // 2)
    return min(max(low + int(place * (high - low + 1)), 0), max(length - frames, 0))


def _said(scenes: CoarseScenes, number: int, start: int, frames: int) -> tuple[list[tuple[str, ...]], Tensor]:
    """Return the captions of the scenes in a chunk that begins near scene `number`, and the scene of each frame."""
    clip, middles = scenes.scenes[number].clip, POOLED_FRAMES * (start + torch.arange(frames)) + POOLED_FRAMES // 2
    low = high = number
    while low > 0 and scenes.scenes[low - 1].clip == clip:
        low -= 1
    while high + 1 < len(scenes.scenes) and scenes.scenes[high + 1].clip == clip:
        high += 1
    ends = torch.tensor([scene.end for scene in scenes.scenes[low : high + 1]])
    place = torch.searchsorted(ends, middles, right=True).clamp_max(high - low)
    shown, frame = torch.unique(place, return_inverse=True)
    return [scenes.scenes[low + one].captions for one in shown.tolist()], frame
