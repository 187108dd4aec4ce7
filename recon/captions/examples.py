"""Pairs that caption decoders learn from: windows of responses, and the embedding of what was said of their scene."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from priors.text import TextEncoder
from recon.learning_set import TrainingSet
from recon.types import Caption


@dataclass(frozen=True)
class Windows:
    """Windows of `frames` frames, one every `every` frames: each neuron's mean √response in each of `parts` of them.

    Responses follow a movie by some frames: a window about frame t is about t + `delay`.
    """

    frames: int = 30
    every: int = 10
    parts: int = 1
    delay: int = 4

    def __post_init__(self) -> None:
        if min(self.frames, self.every, self.parts) < 1 or self.frames % self.parts:
            raise ValueError(
                f"windows: expected frames that {self.parts} parts divide, at least 1 of each, got {self}; correct it"
            )

    def centres(self, frames: int) -> Tensor:
        """Return the frames `[W]` that windows are about.

        >>> Windows(30, 10).centres(36)
        tensor([ 5, 15, 25, 35])
        """
        return torch.arange(min(self.every // 2, frames - 1), frames, self.every)

    def features(self, responses: Tensor) -> Tensor:
        """Return `[B,W,parts·n]` of responses `[B,n,T]`; beyond the ends a clip stays as it is there."""
        roots = responses.clamp_min(0).sqrt()
        half, part = self.frames // 2, self.frames // self.parts
        padded = functional.pad(roots, (half, half + self.delay + self.frames), mode="replicate")
        means = functional.avg_pool1d(padded, part, stride=1)
        starts = self.centres(responses.shape[-1]) + self.delay
        parts = [means[..., starts + number * part] for number in range(self.parts)]
        return torch.cat(parts, 1).transpose(1, 2)


@dataclass(frozen=True)
class Examples:
    """Features `[K,F]`, embeddings `[K,D]` of length 1, and for each the number of its scene and of its trial `[K]`."""

    features: Tensor
    embeddings: Tensor
    scene: Tensor
    trial: Tensor


def spoken_digest(training: TrainingSet) -> str:
    """Return a short hash of what is said of the training trials."""
    said = [training.recording.spoken(trial) for trial in training.recording.trials("train")]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def read_examples(training: TrainingSet, windows: Windows, encoder: TextEncoder) -> Examples:
    """Return the windows of the training trials of which something is said; raises ValueError where nothing is."""
    features, scenes, numbers, trials = [], list[Caption](), list[Tensor](), list[Tensor]()
    for trial in training.trials():
        said = training.recording.spoken(trial.index)
        responses = training.responses(trial)[None]
        number = scene_of(said, windows.centres(responses.shape[-1]))
        known = number >= 0
        features.append(windows.features(responses)[0][known])
        numbers.append(number[known] + len(scenes))
        trials.append(torch.full((int(known.sum()),), trial.index))
        scenes += said
    if not scenes:
        raise ValueError(
            f"captions: expected some of training trials in {training.recording.path}, got none; take another text, or "
            "write meta/trials/captions.jsonl"
        )
    scene = torch.cat(numbers)
    return Examples(torch.cat(features), embedded(scenes, encoder)[scene], scene, torch.cat(trials))


def scene_of(said: Sequence[Caption], frames: Tensor) -> Tensor:
    """Return which caption `[W]` is said of each frame `[W]`, −1 for none.

    >>> scene_of([Caption(0, 4, ("a",)), Caption(4, 8, ("b",))], torch.tensor([1, 5, 9]))
    tensor([ 0,  1, -1])
    """
    found = torch.full_like(frames, -1)
    for number, caption in enumerate(said):
        found[(caption.first <= frames) & (frames < caption.end)] = number
    return found


def embedded(said: Iterable[Caption], encoder: TextEncoder) -> Tensor:
    """Return the embedding `[S,D]` of each caption: the mean over its phrasings, of length 1."""
    spoken = [caption.texts for caption in said]
    distinct = sorted({text for texts in spoken for text in texts})
    known = dict(zip(distinct, encoder(distinct), strict=True))
    means = [torch.stack([known[text] for text in texts]).mean(0) for texts in spoken]
    return functional.normalize(torch.stack(means), dim=1)


def over_time(said: Sequence[Caption], embeddings: Tensor, frames: int) -> Tensor:
    """Return the embedding of every frame `[T,D]`; NaN, no text, where nothing is said."""
    number = scene_of(said, torch.arange(frames))
    return torch.where(number[:, None] >= 0, embeddings[number], torch.nan)
